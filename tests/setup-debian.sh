#!/usr/bin/env bash
# Installs the Debian packages that the tests talk to or build with, and says which. Does nothing where all are there.
# No service is started or stopped: the tests start the servers themselves, as themselves, in folders of their own.
set -eu

packages=(
  python3-venv   # Debian's own Python, where it is the one that `make` uses
  postfix        # a real MTA: receives what we send, and is compared with
  opendkim       # judges our signatures, independently of our own code
  opendkim-tools # opendkim-testmsg, the same from a command line
  redis-tools    # redis-cli: enqueues a campaign by itself
  redis-server   # Redis 7.0, the oldest we promise to run on; it speaks TLS
  faketime       # gives one worker of the fault matrix a wrong clock
  go-msgauth     # dkim-verify, another judge: of Ed25519 signatures as well
  prometheus     # promtool, which plays our rules and alerts, and a Prometheus that scrapes a fleet of ours
  prometheus-alertmanager # amtool, which checks what we suggest for it
  iproute2       # the network namespaces of the distance benchmark
  gcc            # builds the load generators of the benchmarks
  libc6-dev
  libssl-dev
)

if ! command -v dpkg-query >/dev/null; then
  echo "This is no Debian: install these yourself and run pytest: ${packages[*]}" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "All Debian packages that the tests need are there: ${packages[*]}"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "The tests need these Debian packages, and only root can install them: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "Installing what the tests need: ${missing[*]}"
# policy-rc.d keeps the packages' services from starting (invoke-rc.d asks it); one that stands already stays as it is.
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -eu -c '
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap "rm -f $policy" EXIT
    printf "#!/bin/sh\nexit 101\n" >"$policy"
    chmod 0755 "$policy"
  fi
  echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
  apt-get -qq update
  apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends "$@" >/dev/null
  # nor shall they start at the next boot, unless they were here before us
  if [ -d /run/systemd/system ]; then
    for service in "$@"; do
      case $service in postfix | opendkim | redis-server | prometheus | prometheus-alertmanager) systemctl --quiet disable "$service" ;; esac
    done
  fi
' sh "${missing[@]}"
