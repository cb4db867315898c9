//! HTTP: the distribution API, tokens, MetaHub's own API; thin handlers
