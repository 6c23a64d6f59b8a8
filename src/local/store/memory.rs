//! The store in memory, over a persistent ordered map.
