//! jq programs, confined: parsed once, bounded in time, depth and output.
