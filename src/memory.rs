//! Memory that was given back to the allocator, and that the allocator gives back to the host.
#![allow(unsafe_code)]

/// Has the allocator give the host all pages that this thread does not need any more. By itself it keeps what is freed here and
/// there: after a change of ten thousand users twice as much as they need. Takes some milliseconds.
pub(crate) fn give_back() {
    // SAFETY: `mi_collect` may be called at any time from any thread (mimalloc's documentation, Extended Functions); it works on
    // the calling thread's heap and on what others have abandoned, and moves nothing that is in use.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}
