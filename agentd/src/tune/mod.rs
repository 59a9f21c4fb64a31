//! What training needs of the daemon: its own prompts, grammars and tokens; sentences of an integrator's own tools;
//! and an examination that says whether an adapter is better than the one before it.
//!
//! ```text
//!  config ──own──> toolsets ──lessons──> tokens ──tools/tune/train.py──> adapter
//!            └───> questions ──exam──> before, after ──verdict──> installed or not
//! ```

pub mod exam;
pub mod expand;
mod history;
pub mod lessons;
pub mod mark;
mod named;
pub mod own;
pub mod random;
mod refuse;
mod reword;
pub mod sayable;
mod split;
pub mod trainer;
mod values;
pub mod verdict;
pub mod work;
