//! The actions and the event pipeline: pure functions from documents to documents, with explanation
