//! The store on disk, over redb.

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: the disk has it.
    Fsync,
    /// The death of the process: the kernel has it.
    Process,
}
