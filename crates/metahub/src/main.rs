//! The metahub command
fn main() {}
