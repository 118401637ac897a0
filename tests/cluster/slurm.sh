#!/bin/bash
# A Slurm of one node for tests, from Debian's packages: this machine is controller, node and submit host. Needs root.
# Everything but the packages lies in one folder, and /etc/slurm/slurm.conf points into it: the Slurm plugin of Snakemake
# drops SLURM_CONF in jobs. `stop` removes both, and leaves nothing running.
# Usage: slurm.sh install | start FOLDER | stop FOLDER
set -euo pipefail
CONF=/etc/slurm/slurm.conf

install() { # slurmctld, slurmd and the clients, and munge, which Slurm's daemons know each other by
  if ! command -v slurmctld slurmd munged > /dev/null; then
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends slurm-wlm munge > /dev/null
  fi
}

configure() {
  local folder=$1 memory
  memory=$(awk '/^MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
  mkdir -p "$folder"/{state,spool,log}
  chmod 755 "$folder"
  dd if=/dev/urandom of="$folder/munge.key" bs=1024 count=1 status=none
  chmod 400 "$folder/munge.key"
  cat > "$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
# no control groups in a container
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=2,bf_interval=2
KillWait=10
# every job that ends leaves a line
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/completed.txt
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(getconf _NPROCESSORS_ONLN) RealMemory=$memory State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=NO State=UP
CONF
}

start() {
  local folder
  folder=$(realpath -m "$1")
  if [ -e "$CONF" ]; then
    echo "error: $CONF is there already: a Slurm that is in use, or one to stop first" >&2
    return 1
  fi
  configure "$folder"
  mkdir -p "$(dirname "$CONF")"
  ln -sfn "$folder/slurm.conf" "$CONF"
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/log/munged.log" --seed-file="$folder/munge.seed"
  slurmctld
  slurmd
  for _ in $(seq 100); do
    if sinfo --noheader --format %T 2> /dev/null | grep -q idle; then return; fi
    sleep 0.2
  done
  echo "error: no idle node within 20 s; see $folder/log" >&2
  return 1
}

stop() { # jobs first, then the daemons, each by its id
  local folder name pid
  folder=$(realpath -m "$1")
  if [ "$(readlink "$CONF")" != "$folder/slurm.conf" ]; then return; fi
  squeue --noheader --format %A 2> /dev/null | xargs -r scancel --full || true
  for _ in $(seq 60); do [ -z "$(squeue --noheader 2> /dev/null)" ] && break; sleep 0.5; done
  for name in slurmd slurmctld munged; do
    pid=$(cat "$folder/$name.pid" 2> /dev/null) || continue
    kill "$pid" 2> /dev/null || true
    for _ in $(seq 100); do kill -0 "$pid" 2> /dev/null || break; sleep 0.1; done
  done
  rm -rf "$folder" "$CONF"
}

"$@"
