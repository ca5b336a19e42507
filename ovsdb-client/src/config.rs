// SPDX-License-Identifier: Apache-2.0
//! Limits of a connection.

use std::time::Duration;

/// Limits of a connection.
#[derive(Clone, Debug)]
pub struct Config {
    /// The longest silence of the server before it is asked for a sign of life, and then again
    /// before the connection is given up; `None` never asks.
    pub probe_interval: Option<Duration>,
    /// The largest message accepted, in bytes. A parsed message can take about twenty times as
    /// much memory for a moment.
    pub max_message_bytes: usize,
    /// How many requests and monitors may be open at a time.
    pub max_requests: usize,
}

impl Default for Config {
    /// Probes after 10 s, messages up to 16 MiB, 1024 requests.
    fn default() -> Self {
        Self {
            probe_interval: Some(Duration::from_secs(10)),
            max_message_bytes: 16 * 1024 * 1024,
            max_requests: 1024,
        }
    }
}
