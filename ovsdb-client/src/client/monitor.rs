// SPDX-License-Identifier: Apache-2.0
//! The reader's end of a monitor.

use tokio::sync::mpsc;

use crate::client::{Client, Error};
use crate::monitor::{Replica, RowChange};
use crate::session::RequestError;

/// A replica of part of a database, kept current by the connection it belongs to.
#[derive(Debug)]
pub struct Monitor {
    client: Client,
    replica: Replica,
    batches: mpsc::Receiver<Batch>,
}

/// Changes between two committed states, or why there will be no more.
pub(super) type Batch = Result<Vec<RowChange>, RequestError>;

/// The initial replica, and the batches that follow it.
pub(super) type Feed = (Replica, mpsc::Receiver<Batch>);

impl Monitor {
    pub(super) fn new(client: Client, (replica, batches): Feed) -> Self {
        Self {
            client,
            replica,
            batches,
        }
    }

    /// The state after the last batch that [`Monitor::changed`] returned.
    pub const fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Waits for changes, applies them to the replica and returns them: at most one per row, the
    /// difference of two committed states, ordered by table and row. A reader that is slow gets
    /// fewer and larger batches. Cancel safe. After an error there are no more changes.
    pub async fn changed(&mut self) -> Result<Vec<RowChange>, Error> {
        let Some(batch) = self.batches.recv().await else {
            return Err(self.client.closed().await.into());
        };
        // There is room for the changes that were folded meanwhile.
        self.client.attention.notify_one();
        let changes = batch?;
        for change in &changes {
            self.replica.apply(change);
        }
        Ok(changes)
    }

    /// The connection this monitor belongs to.
    pub const fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.batches.close();
        self.client.attention.notify_one();
    }
}
