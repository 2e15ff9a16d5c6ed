#!/bin/sh
# Runs below systemd in the tree (tests/packaging/tree.py): each line of the output is `name: value`.
exec 2>&1
say() { echo "$1: $(shift; "$@" 2>&1 | tr '\n' ' ' | sed 's/ $//')"; }
status() { "$@" > /tmp/out 2>&1; echo $?; }
wait_for() { for _ in $(seq 60); do "$@" && return; sleep 0.5; done; }
user() { setpriv --reuid=ninep --regid=ninep --clear-groups "$@"; }
at=unix:/run/ninep/9p.sock:

say enabled systemctl is-enabled ninep.service
say idle systemctl is-active ninep.service
systemctl start ninep.service || journalctl --no-pager -u ninep | tail -20
say active systemctl is-active ninep.service
say user stat -c '%U %a' /run/ninep/9p.sock
pid=$(systemctl show -P MainPID ninep.service)
say seccomp sed -n 's/^Seccomp:\t//p' /proc/$pid/status
say privileges sed -n 's/^CapBnd:\t//p; s/^NoNewPrivs:\t//p' /proc/$pid/status
say control status ninep status

# a client of the service, with what a guest does
echo hello > /tmp/file
say put status user ninep put /tmp/file ${at}/file
say chmod status user ninep chmod 4755 ${at}/file
say chown status user ninep chown --uid 0 1000:1001 ${at}/file
say xattr status user ninep xattr ${at}/file user.a --set b
say ln status user ninep ln -s file ${at}/link
say mv status user ninep mv ${at}/file ${at}/renamed
say content user ninep cat ${at}/renamed
say owner sh -c 'ninep ls -l --uid 0 "$0" | cut -c1-10' ${at}/renamed
say host stat -c '%U %a' /var/lib/ninep/renamed
say space status user ninep df ${at}/

# reload: a file with a mistake changes nothing, a right one does
cp /etc/ninep/ninep.toml /tmp/right.toml
echo 'workers = 2.5' >> /etc/ninep/ninep.toml
say broken status systemctl reload ninep.service
say still user ninep cat ${at}/renamed
{ cat /tmp/right.toml; printf '[exports.more]\ntarget = "mem:"\n'; } > /etc/ninep/ninep.toml
say reload status systemctl reload ninep.service
wait_for sh -c 'ninep ls unix:/run/ninep/9p.sock 2>/dev/null | grep -q more'
say exports sh -c 'ninep ls unix:/run/ninep/9p.sock 2>/dev/null'
say same status test "$pid" = "$(systemctl show -P MainPID ninep.service)"

# another process in the place of this one: systemd follows it, and the service stays
cp /tmp/right.toml /etc/ninep/ninep.toml
say upgrade status ninep ctl upgrade
wait_for sh -c '! test -d "/proc/$0"' "$pid"
say follows status test "$pid" != "$(systemctl show -P MainPID ninep.service)"
say upgraded systemctl is-active ninep.service
say serves user ninep cat ${at}/renamed
say restarts systemctl show -P NRestarts ninep.service
pid=$(systemctl show -P MainPID ninep.service)

# what is not in its directories cannot be written, and /home cannot be seen
mkdir -p /srv/files /home/somebody
chown ninep: /srv/files
cat > /etc/ninep/other.toml <<'T'
listen = ["127.0.0.1:5640", "unix:/run/ninep/other.sock", "vhost-user:/run/ninep/vm.sock,tag=vm"]
[exports.srv]
target = "/srv/files"
[exports.own]
target = "/var/lib/ninep/other"
T
ip link set lo up
mkfifo /tmp/go
systemctl start ninep@other.service || journalctl --no-pager -u ninep@other | tail -20
say template systemctl is-active ninep@other.service
say denied status user ninep mkdir unix:/run/ninep/other.sock:/x --aname srv
say reason cat /tmp/out
say granted status user ninep mkdir unix:/run/ninep/other.sock:/x --aname own

# a front end of a virtual machine is stored over a restart
python3 -c '
import socket, sys
with socket.socket(socket.AF_UNIX) as front_end:
    front_end.connect("/run/ninep/vm.sock")
    print("connected", flush=True)
    sys.stdin.readline()
    front_end.setblocking(False)
    try:
        print("closed" if front_end.recv(1) == b"" else "says something", flush=True)
    except BlockingIOError:
        print("kept", flush=True)
' < /tmp/go > /tmp/front-end &
front_end=$!
exec 4<> /tmp/go
stored() { [ "$(systemctl show -P NFileDescriptorStore ninep@other.service)" -ge 2 ]; }
wait_for stored
say stored systemctl show -P NFileDescriptorStore ninep@other.service
systemctl restart ninep@other.service
echo >&4
wait $front_end
say front_end cat /tmp/front-end
systemctl stop ninep@other.service
say shared user ninep cat ${at}/renamed --aname files

# the drop-in of docs/service.md for real owners
mkdir -p /etc/systemd/system/ninep@root.service.d
cat > /etc/systemd/system/ninep@root.service.d/override.conf <<'T'
[Service]
User=root
Group=root
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_SETUID CAP_SETGID
AmbientCapabilities=CAP_SETUID
SystemCallFilter=@setuid setfsuid setfsgid capget capset
ReadWritePaths=/srv/files
RuntimeDirectory=
RuntimeDirectory=ninep-root
StateDirectory=
T
cat > /etc/ninep/root.toml <<'T'
listen = ["unix:/run/ninep-root/root.sock"]
[exports.""]
target = "/srv/files"
security-model = "passthrough"
run-as-user = true
T
systemctl daemon-reload
systemctl start ninep@root.service || journalctl --no-pager -u ninep@root | tail -20
chmod 777 /srv/files
ninep put --uid 1 /tmp/file unix:/run/ninep-root/root.sock:/real
say run_as stat -c %u /srv/files/real
ninep chown --uid 0 33:34 unix:/run/ninep-root/root.sock:/real
say real stat -c '%u %g' /srv/files/real
say beside user ninep cat ${at}/renamed --aname files
systemctl stop ninep@root.service

# a crash
kill -KILL $pid
restarted() { now=$(systemctl show -P MainPID ninep.service); [ "$now" != 0 ] && [ "$now" != "$pid" ]; }
wait_for restarted
wait_for systemctl -q is-active ninep.service
say restarted user ninep cat ${at}/renamed --aname files
say stop status systemctl stop ninep.service
say result systemctl show -P Result ninep.service

# socket activation
sed -e 's/^listen.*/listen = ["systemd"]/' -e '/^socket-mode/d' /tmp/right.toml > /etc/ninep/ninep.toml
systemctl start ninep.socket
say waiting systemctl is-active ninep.service
say activated user ninep cat ${at}/renamed
say exposure sh -c "systemd-analyze security --no-pager ninep.service | sed -n 's/.*: \([0-9.]*\) .*/\1/p' | tail -1"
say verify status systemd-analyze verify ninep.service ninep.socket ninep@x.service
cat /tmp/out
say log sh -c "journalctl --no-pager | grep -ci 'traceback\|operation not permitted\|audit.*ninep' || true"
