//! Several trackers on one bus behave as the nodes of one system.

mod nodes {
    mod channels;
    mod counted;
    mod faults;
    mod holes;
    mod leases;
    mod lost;
    mod mirrors;
    mod removed;
    mod restarts;
    mod superseded;
    mod support;
    mod upkeep;
}
