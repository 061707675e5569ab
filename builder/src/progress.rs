//! What a build shows while it works: a bar on a terminal, plain lines in a log.
