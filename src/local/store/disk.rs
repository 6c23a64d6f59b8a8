//! The store on disk, over redb.
