//! End-to-end suites and the checks that keep the workspace's walls.
