//! Several trackers on one bus behave as the nodes of one system.

mod nodes {
    mod faults;
    mod leases;
    mod mirrors;
    mod support;
}
