// SPDX-License-Identifier: Apache-2.0
//! Ctrl-C and its kin: tear the bed down, then leave.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::Testbed;

/// What a shell reports for a program ended by Ctrl-C: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// The watch on signals. A signal before there is a bed ends the demo as soon as there is one.
#[derive(Clone)]
pub(super) struct Interrupts {
    arrived: Arc<AtomicBool>,
    bed: Arc<Mutex<Option<Arc<Testbed>>>>,
}

/// Starts watching for SIGINT, SIGTERM and SIGHUP.
pub(super) fn watch() -> Result<Interrupts> {
    let interrupts = Interrupts {
        arrived: Arc::default(),
        bed: Arc::default(),
    };
    let watched = interrupts.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot watch for signals")?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            if runtime.block_on(any_signal()).is_ok() {
                watched.arrived.store(true, Ordering::SeqCst);
                watched.end_if_built();
            }
        })?;
    Ok(interrupts)
}

impl Interrupts {
    /// Names the bed to tear down on a signal.
    pub(super) fn guard(&self, bed: &Arc<Testbed>) {
        *self.bed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(bed));
        if self.arrived.load(Ordering::SeqCst) {
            self.end_if_built();
        }
    }

    /// After a signal, waits for the other thread to end the process: what fails now fails because
    /// the bed is being torn down.
    pub(super) fn hold_if_interrupted(&self) {
        while self.arrived.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }

    fn end_if_built(&self) {
        let bed = self
            .bed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(bed) = bed else { return };
        eprintln!("\ninterrupted: tearing down");
        if let Err(error) = bed.tear_down() {
            eprintln!("the bed {} did not end cleanly: {error:#}", bed.name());
        }
        std::process::exit(INTERRUPTED);
    }
}

async fn any_signal() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
