#!/bin/bash
# Builds the load generator, the peers and this project's server, and runs the table; see README.md.
#   ./run-all.sh [NAME ...]      all servers, or only those named
# REPS (3), RETRIES (1), QUIET_BUDGET (180 s), RESULTS (results/).
set -euo pipefail
cd "$(dirname "$0")"
cargo build --release --manifest-path ../../Cargo.toml -p progress-server
cargo build --release
export PYTHONDONTWRITEBYTECODE=1
python3 bench.py run "$@"
