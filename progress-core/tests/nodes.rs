//! Several trackers on one bus behave as the nodes of one system.

mod nodes {
    mod mirrors;
    mod support;
}
