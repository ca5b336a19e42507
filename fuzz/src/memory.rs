// SPDX-License-Identifier: Apache-2.0
//! Watches how much memory an input makes us take.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What an input of some length may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Bytes in one allocation for each byte of input.
    pub largest: usize,
    /// Bytes in use at a time for each byte of input.
    pub in_use: usize,
    /// Bytes that are free, for both.
    pub constant: usize,
}

impl Limit {
    /// For decoders. `openflow-codec/tests/memory.rs` holds it against the worst messages: the
    /// smallest action has 8 bytes and is a value of 80, and may have 8 more on the heap. Nothing
    /// grows where so much comes in small pieces: it is counted first.
    pub const DECODER: Self = Self {
        largest: 16,
        in_use: 16,
        constant: 4_096,
    };
}

/// Does `work` with an input of `length` bytes.
///
/// # Panics
/// When it takes more memory than `limit` allows.
pub fn limited<T>(limit: Limit, length: usize, work: impl FnOnce() -> T) -> T {
    let before = IN_USE.load(Relaxed);
    MOST_IN_USE.store(before, Relaxed);
    LARGEST.store(0, Relaxed);
    let result = work();
    let largest = LARGEST.load(Relaxed);
    let in_use = MOST_IN_USE.load(Relaxed).saturating_sub(before);
    let allowed = |factor: usize| limit.constant + factor * length;
    assert!(
        largest <= allowed(limit.largest),
        "an allocation of {largest} bytes for an input of {length}"
    );
    assert!(
        in_use <= allowed(limit.in_use),
        "{in_use} bytes in use for an input of {length}"
    );
    result
}

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST_IN_USE: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// No input asks for this much; it is refused at once, so that the input is found and not the
/// machine's end.
const ABSURD: usize = 256 << 20;

struct Watching;

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// Whether so much may be had.
fn took(size: usize) -> bool {
    let in_use = IN_USE.fetch_add(size, Relaxed).wrapping_add(size);
    MOST_IN_USE.fetch_max(in_use, Relaxed);
    LARGEST.fetch_max(size, Relaxed);
    size < ABSURD
}

// SAFETY: what is not refused is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !took(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, which is System's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !took(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !took(size) {
            return std::ptr::null_mut();
        }
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as in `alloc`.
        unsafe { System.realloc(memory, layout, size) }
    }
}
