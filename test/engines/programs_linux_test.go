// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	moby "github.com/moby/profiles/seccomp"
)

// debianPackages are what the programs of TestDebiansProgramsUnderDocker need besides the minimum, which has bash and apt.
const debianPackages = "python3,gcc,libc6-dev,postgresql,nginx-light"

// debian returns a tar file of a root file system with debianPackages, of the release that this machine has. It is kept in the user's cache,
// since it takes a minute to make.
func debian(t *testing.T) string {
	t.Helper()
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	_, codename, _ := strings.Cut(string(release), "VERSION_CODENAME=")
	codename, _, _ = strings.Cut(codename, "\n")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, "bulkhead-test", "debian-"+codename+"-"+digest([]byte(debianPackages))[:8]+".tar")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	partial := strings.TrimSuffix(path, ".tar") + ".partial.tar"
	command := exec.Command(program(t, "mmdebstrap", "/usr/bin/mmdebstrap"), "--quiet", "--variant=minbase", "--include="+debianPackages, "--dpkgopt=force-unsafe-io",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/man/*",
		codename, partial, "http://deb.debian.org/debian")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("mmdebstrap: %v: %s", err, out)
	}
	if err := os.Rename(partial, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// programs are scripts for bash, each with the last line that it prints.
var programs = map[string]struct{ script, prints string }{
	"bash": {`set -eu
		trap 'caught=$((${caught:-0} + 1))' USR1; kill -USR1 $$
		status=0; (exit 3) & wait $! || status=$?
		sum=0; while read -r n; do sum=$((sum + n)); done < <(for i in {1..50}; do echo $i; done)
		mkfifo /tmp/fifo; (ulimit -n 100; ulimit -n >/tmp/fifo) & read -r line </tmp/fifo
		sleep 100 & kill -STOP $!; kill -CONT $!; kill $!; wait $! 2>/dev/null || true
		echo "$caught $status $sum $line"`, "1 3 1275 100"},
	"apt": {`set -eu
		mkdir -p /tmp/p/DEBIAN /tmp/p/opt; echo hello >/tmp/p/opt/hello
		printf 'Package: hello\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: hello\n' >/tmp/p/DEBIAN/control
		printf '#!/bin/sh\necho configured >>/opt/hello\n' >/tmp/p/DEBIAN/postinst; chmod 755 /tmp/p/DEBIAN/postinst
		dpkg-deb --build /tmp/p /tmp/hello.deb >/dev/null
		apt-get install -y -qq /tmp/hello.deb >/dev/null 2>&1
		apt-get check -qq; cat /opt/hello | tr '\n' ' '; apt-get purge -y -qq hello >/dev/null 2>&1; test ! -e /opt/hello; echo gone`, "hello configured gone"},
	"python3": {`set -eu; cat >/tmp/p.py <<'EOF'
import asyncio, ctypes, mmap, multiprocessing, os, signal, socket, sqlite3, subprocess, tempfile, threading
def square(n): return n * n
async def talk():
    async def answer(reader, writer):
        writer.write((await reader.readline()).upper()); await writer.drain(); writer.close()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"ping\n"); return (await reader.readline()).decode().strip()
if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool: squares = sum(pool.map(square, range(10)))
    total = []; threads = [threading.Thread(target=lambda: total.append(1)) for _ in range(20)]
    [t.start() for t in threads]; [t.join() for t in threads]
    database = sqlite3.connect("/tmp/p.db"); database.execute("create table t(n)"); database.executemany("insert into t values(?)", [(n,) for n in range(5)]); database.commit()
    with tempfile.TemporaryFile() as f: f.write(b"x" * 4096); f.flush(); mapped = len(mmap.mmap(f.fileno(), 0))
    signal.signal(signal.SIGALRM, lambda *a: None); signal.alarm(1); signal.pause()
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET); left.send(b"abc")
    print(squares, len(total), database.execute("select sum(n) from t").fetchone()[0], mapped, asyncio.run(talk()), right.recv(9).decode(), subprocess.check_output(["uname", "-s"]).decode().strip(), ctypes.CDLL(None).getpid() == os.getpid())
EOF
		python3 /tmp/p.py`, "285 20 10 4096 PING abc Linux True"},
	"high bits": {`set -eu; cat >/tmp/p.py <<'EOF'
import ctypes
def socket(family):
    libc = ctypes.CDLL(None, use_errno=True)
    return ctypes.get_errno() if libc.syscall(41, ctypes.c_ulong(family), ctypes.c_ulong(1), ctypes.c_ulong(0)) < 0 else 0
filters = [line.split()[1] for line in open("/proc/self/status") if line.startswith("Seccomp_filters")]
print(filters, socket(2), socket(2 | 1 << 32), socket(40), socket(40 | 1 << 32), socket(40 | 1 << 63))
EOF
		python3 /tmp/p.py`, "['1'] 0 0 1 1 1"}, // AF_VSOCK is 40, EPERM 1; the kernel reads 32 bits of a family
	"gcc": {`set -eu; cat >/tmp/p.c <<'EOF'
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
static void *work(void *n) { return (char *)n + 1; }
int main(void) {
	long sum = 0; pthread_t t[8]; int status;
	for (long i = 0; i < 8; i++) pthread_create(&t[i], 0, work, (void *)i);
	for (int i = 0; i < 8; i++) { void *r; pthread_join(t[i], &r); sum += (long)r; }
	if (!fork()) _exit(7);
	wait(&status);
	return !(printf("%ld %d\n", sum, WEXITSTATUS(status)) > 0);
}
EOF
		gcc -O2 -pthread -flto -o /tmp/p /tmp/p.c; /tmp/p`, "36 7"},
	"postgres": {`set -eu; bin=$(ls -d /usr/lib/postgresql/*/bin); mkdir /tmp/data; chown postgres /tmp/data
		as() { setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"; }
		cd /tmp; as $bin/initdb -D /tmp/data -A trust >/dev/null 2>&1
		as $bin/pg_ctl -D /tmp/data -w -l /tmp/log -o '-k /tmp -c listen_addresses=127.0.0.1' start >/dev/null || { cat /tmp/log; exit 1; }
		as psql -h 127.0.0.1 -qAt postgres -c 'create table t as select g n from generate_series(1,100000) g; create index on t(n); analyze t;' \
			-c 'set max_parallel_workers_per_gather=2; set parallel_setup_cost=0; set min_parallel_table_scan_size=0; select sum(n) from t;' | tail -1
		as $bin/pg_ctl -D /tmp/data -m fast stop >/dev/null`, "5000050000"},
	"nginx": {`set -eu; mkdir -p /tmp/www; echo "hello from nginx" >/tmp/www/index.html
		printf 'user www-data; worker_processes 2; pid /tmp/n.pid; error_log /tmp/n.log;\nevents { worker_connections 64; }\nhttp { access_log off; sendfile on; server { listen 127.0.0.1:8080; root /tmp/www; } }\n' >/tmp/n.conf
		chmod -R a+rX /tmp/www; nginx -c /tmp/n.conf
		exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET / HTTP/1.0\r\n\r\n' >&3; page=$(tr -d '\r' <&3 | tail -1); exec 3>&-
		nginx -c /tmp/n.conf -s reload; sleep 0.3; nginx -c /tmp/n.conf -s quit; echo "$page"`, "hello from nginx"},
}

// TestDebiansProgramsUnderDocker runs them under the profile that docker gives every container today, which Debian's is older than.
func TestDebiansProgramsUnderDocker(t *testing.T) {
	t.Parallel()
	e := docker(t)
	const name = "localhost/debian:latest"
	e.do(t, "import", debian(t), name).must(t)
	profile := filepath.Join(e.place, "profile.json")
	if err := os.WriteFile(profile, encode(t, moby.DefaultProfile()), 0o600); err != nil {
		t.Fatal(err)
	}
	for program, p := range programs {
		t.Run(program, func(t *testing.T) {
			out := e.run(t, ours, "--security-opt", "seccomp="+profile, "--tmpfs", "/tmp:exec,mode=1777", name, "bash", "-c", p.script).must(t)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if last := lines[len(lines)-1]; last != p.prints {
				t.Errorf("printed %q, want %q at the end", out, p.prints)
			}
		})
	}
}
