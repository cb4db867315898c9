//! Profile and collection documents: parsing, diagnostics, composition of selectors
