//! Demo images made in process: tiny static programs for amd64 and arm64, no base image, no network
