#!/bin/sh
# A real Slurm of two nodes, both on this machine, for tests: `tests/slurm_here.sh start FOLDER`, then SLURM_CONF=FOLDER/slurm.conf
# for every command of it; `tests/slurm_here.sh stop FOLDER`. It needs root, and of Debian: slurmctld slurmd slurm-client munge.
set -eu
does=$1 folder=$2
conf=$folder/slurm.conf socket=$folder/munge.socket

stop() {
    for name in slurmctld slurmd.one slurmd.two munged; do
        [ -f "$folder/$name.pid" ] && kill "$(cat "$folder/$name.pid")" 2>/dev/null || true
    done
}

if [ "$does" = stop ]; then
    stop
    exit 0
fi

mkdir -p "$folder/state" "$folder/spool.one" "$folder/spool.two"
chmod 755 "$folder"
host=$(hostname -s)
cores=$(nproc)
dd if=/dev/urandom of="$folder/munge.key" bs=1024 count=1 2>/dev/null
chmod 400 "$folder/munge.key"
munged --force --socket="$socket" --key-file="$folder/munge.key" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
cat >"$conf" <<CONF
ClusterName=here
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$socket
CredType=cred/munge
SlurmctldPort=16817
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=30
MinJobAge=300
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName=one NodeHostname=$host NodeAddr=127.0.0.1 Port=16818 CPUs=$cores State=UNKNOWN
NodeName=two NodeHostname=$host NodeAddr=127.0.0.1 Port=16819 CPUs=$cores State=UNKNOWN
PartitionName=short Nodes=ALL Default=YES MaxTime=60 State=UP
CONF
export SLURM_CONF="$conf"
slurmctld -c
slurmd -c -N one
slurmd -c -N two
