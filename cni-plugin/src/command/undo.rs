// SPDX-License-Identifier: Apache-2.0
//! What ADD must take back if a later step fails.

use ovsdb_client::Remote;

use crate::database::Database;
use crate::link;
use crate::spec::Error;

/// What this call has made so far, by itself: nothing else is ever removed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Made {
    /// The veth pair.
    pub(super) link: bool,
    /// The port, or possibly the port: the answer to its transaction was lost.
    pub(super) port: bool,
}

impl Made {
    /// Removes it, the port first so that its flows go before its link, and adds to `error` what
    /// could not be removed.
    pub(super) async fn undo(self, ovsdb: &Remote, host_link: &str, error: &mut Error) {
        if self.port {
            // On a new connection: losing the old one may be why ADD failed.
            let removal = async { Database::connect(ovsdb).await?.detach(host_link).await };
            if let Err(cause) = removal.await {
                error.add_detail(format!("Port {host_link} is left behind: {cause}"));
            }
        }
        if self.link
            && let Err(cause) = link::delete_link(host_link).await
        {
            error.add_detail(format!("link {host_link} is left behind: {cause}"));
        }
    }
}
