//! One pull or push between HTTP and the store: names, sources, events, derived content
