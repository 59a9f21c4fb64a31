//! What training needs of the daemon: its own prompts, grammars and tokens.

pub mod lessons;
