# Sourced by the other scripts: finds a Python >= 3.12, makes .venv and installs what the lock file names.
# Usage: . scripts/bootstrap.sh [run|dev]; afterwards $VENV holds the environment's folder.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="${REFLEX_VENV:-$ROOT/.venv}"

reflex_find_python() {
    local candidate
    for candidate in "${REFLEX_PYTHON:-}" python3.13 python3.12 python3.14 python3 python \
        "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python3; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' \
            >/dev/null 2>&1; then
            echo "$candidate"
            return 0
        fi
    done
    echo "Reflex needs Python 3.12 or newer (with venv). Install one, or set REFLEX_PYTHON to it." >&2
    return 1
}

reflex_install() {
    local set="$1" lock="$ROOT/requirements-$1.lock" stamp="$VENV/.reflex-$1" python sum
    sum="$(cksum < "$lock") $(cksum < "$ROOT/pyproject.toml") $ROOT"
    [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ] && return 0
    echo "Setting up $VENV ($set), once ..." >&2
    if [ ! -x "$VENV/bin/python" ]; then
        python="$(reflex_find_python)" || return 1
        (cd "$ROOT" && "$python" -m venv "$VENV") || return 1
    fi
    # The lock names every package with its hashes, so nothing is resolved here.
    "$VENV/bin/python" -m pip install -q --disable-pip-version-check --no-deps --require-hashes \
        -r "$lock" || return 1
    "$VENV/bin/python" -m pip install -q --disable-pip-version-check --no-deps \
        --no-build-isolation -e "$ROOT" || return 1
    echo "$sum" > "$stamp"
}

reflex_install "${1:-run}" || exit 1
