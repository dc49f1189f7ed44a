//! smux v1 and v2 (`spec/smux.md`).
