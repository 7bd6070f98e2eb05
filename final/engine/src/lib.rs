//! Images, containers, networks: what keel knows and keeps.
