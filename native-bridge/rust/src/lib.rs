//! Re-exports libkrun, so that this cdylib carries its whole C interface (`krun_*`).

pub use krun::*;
