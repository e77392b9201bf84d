//! What an editor asks of the form of a module: its symbols, folds, tokens, selections and links, and its layout.
//!
//! Reads trees, not meanings; where tokens are coloured by meaning, the names that the analysis knows.
