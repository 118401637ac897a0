#!/bin/bash
# An HTCondor pool of one machine for tests, on loopback. The programs are those of Debian 13, unpacked into a folder of
# their own together with the libraries they need; nothing is installed, mounted or changed outside of it. amd64 only.
# Usage: htcondor.sh unpack PROGRAMS | start PROGRAMS POOL | run PROGRAMS POOL COMMAND… | stop PROGRAMS POOL
# HTCondor takes no jobs of root. For root, all of it runs in a user namespace in which root appears as `nobody`.
set -euo pipefail

unpack() {
  local programs apt mirror file loader libraries
  programs=$(realpath -m "$1")
  [ -e "$programs/complete" ] && return
  rm -rf "$programs"
  apt=$programs/apt libraries=$programs/usr/lib/x86_64-linux-gnu loader=$programs/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
  mkdir -p "$apt"/lists/partial "$apt"/archives/partial
  mirror=$(apt-get indextargets --format '$(SITE)' | grep -m 1 -E '/debian/?$')
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" > "$apt/sources.list"
  touch "$apt/status"
  cat > "$apt/apt.conf" <<CONF
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "-";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
CONF
  APT_CONFIG=$apt/apt.conf apt-get -qq update
  APT_CONFIG=$apt/apt.conf apt-get -qq -y --download-only install condor patchelf > /dev/null
  for file in "$apt"/archives/*.deb; do dpkg --extract "$file" "$programs"; done
  patchelf() { "$loader" --library-path "$libraries" "$programs/usr/bin/patchelf" "$@"; }
  find "$programs"/usr/bin "$programs"/usr/sbin "$programs"/usr/libexec/condor -type f -name 'condor_*' | while read -r file; do
    if patchelf --print-interpreter "$file" > /dev/null 2>&1; then # not a script
      patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$programs/usr/lib:$libraries" "$file"
    fi
  done
  rm -r "$apt"
  touch "$programs/complete"
}

configure() {
  local programs=$1 pool=$2 port me
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  if [ "$(id -u)" = 0 ]; then me=nobody; else me=$(id -un); fi
  mkdir -p "$pool"/{execute,lock,log,run,spool}
  cat > "$pool/condor_config" <<CONF
RELEASE_DIR = $programs/usr
LIBEXEC = \$(RELEASE_DIR)/libexec/condor
LOCAL_DIR = $pool
LOCAL_CONFIG_DIR =
DAEMON_LIST = MASTER, COLLECTOR, NEGOTIATOR, SCHEDD, STARTD
# loopback only
CONDOR_HOST = 127.0.0.1
COLLECTOR_HOST = 127.0.0.1:$port
SHARED_PORT_PORT = $port
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = False
ENABLE_IPV6 = False
UID_DOMAIN = test
FILESYSTEM_DOMAIN = test
# only who started it; proven by a file that only they can write
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_AUTHENTICATION_METHODS = FS
# clients from 24.12 on ask for it, and servers before do not know it
SEC_FS_ENFORCE_CHANNEL_BINDING = False
ALLOW_READ = $me@*
ALLOW_WRITE = $me@*
ALLOW_ADMINISTRATOR = $me@*
ALLOW_DAEMON = $me@*
ALLOW_NEGOTIATOR = $me@*
# the whole machine is one slot, divided as jobs ask
NUM_SLOTS_TYPE_1 = 1
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = True
START = True
PREEMPT = False
SUSPEND = False
KILL = False
RunBenchmarks = False
# a container lets jobs have no namespaces and mounts
MOUNT_UNDER_SCRATCH =
PER_JOB_NAMESPACES = False
USE_PID_NAMESPACES = False
# a job starts within two seconds; in a real pool it takes minutes
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
UPDATE_INTERVAL = 5
CONF
}

run() {
  local programs pool
  programs=$(realpath -m "$1") pool=$(realpath -m "$2")
  shift 2
  export CONDOR_CONFIG=$pool/condor_config PATH=$programs/usr/bin:$programs/usr/sbin:$PATH
  if [ "$(id -u)" = 0 ]; then
    exec unshare --user --map-user="$(id -u nobody)" --map-group="$(id -g nobody)" "$@"
  fi
  exec "$@"
}

start() {
  configure "$(realpath -m "$1")" "$(realpath -m "$2")"
  (run "$1" "$2" condor_master -pidfile "$(realpath -m "$2")/run/master.pid")
  for _ in $(seq 100); do
    if (run "$1" "$2" condor_status -af Name) 2> /dev/null | grep -q slot && (run "$1" "$2" condor_q) > /dev/null 2>&1; then return; fi
    sleep 0.3
  done
  echo "error: no slot within 30 s; see $2/log" >&2
  return 1
}

stop() { # the master ends the other daemons, and they their jobs
  local pid
  pid=$(cat "$2/run/master.pid" 2> /dev/null) || return 0
  (run "$1" "$2" condor_rm -all) > /dev/null 2>&1 || true
  kill -QUIT "$pid" 2> /dev/null || true
  for _ in $(seq 100); do kill -0 "$pid" 2> /dev/null || break; sleep 0.2; done
  rm -rf "$2"
}

"$@"
