//! The session protocol (`proto/SESSION.md`).
