// SPDX-License-Identifier: Apache-2.0
//! One OpenFlow switch connection as a state machine, without IO and clock.
//!
//! The owner of a connection makes a `Session` and moves bytes and time in, bytes and events out:
//!
//! ```text
//! Session::new(config: Arc<Config>, now: Instant) -> Session
//! session.set_wanted(layer, LayerState, Generation, now)     the whole layer, a cheap handle
//! session.apply(layer, &Delta, Generation, now)              the same, from what it was before
//! session.audit(now)                                         read everything back and repair
//! session.read_counters(now)                                 what flows have counted
//! session.close()
//! session.handle_bytes(&[u8], now)
//! session.handle_timeout(now)
//! session.poll_transmit() -> Option<Bytes>                  until None, whenever the socket takes more
//! session.poll_event() -> Option<Event>                     until None
//! session.poll_timeout() -> Option<Instant>
//! ```
//!
//! A session lives as long as its connection: after a reconnect the owner makes a new one and
//! gives it the wanted state again. Nothing is programmed before both layers are wanted.
//!
//! What must hold:
//!
//! * Wanted state is kept, never a queue: what is wanted while the switch is busy coalesces.
//! * A marker on the switch is never ahead of what the switch holds: it is dropped before a change
//!   that takes several bundles, and written in the last one, when all others are acknowledged.
//! * Groups come before the flows that use them, additions before deletions, the entry table last.
//! * Meters are as configured before the first bundle.
//! * Flows, groups and meters of others are left alone.
//! * What the switch refuses is named and left out; the rest goes on.
#![forbid(unsafe_code)]

mod bundle;
pub mod config;
mod counters;
pub mod encoded;
pub mod event;
mod group_reader;
mod handshake;
pub mod layer;
mod ledger;
mod liveness;
mod meters;
mod outbox;
mod plan;
mod reconcile;
mod rejected;
mod request;
mod run;
pub mod session;
pub mod shared_map;
mod wire;

pub use config::{Config, Limits, Marker, Role, Timing};
pub use encoded::{EncodedFlow, EncodedGroup};
pub use event::{
    CloseReason, Counted, EntryId, Event, PortChange, Reconciled, Rejection, SwitchInfo, SwitchPort,
};
pub use layer::{Delta, Digest, Generation, Layer, LayerState};
pub use openflow_codec::TlvMapping;
pub use session::Session;
