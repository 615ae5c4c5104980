// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"context"
	"testing"
)

// container are globs as a container's profile has them.
var container = []string{
	"/**", "/", "/proc/*", "/proc/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/**", "/proc/sys/[^k]**",
	"/proc/sys/kernel/{?,??,[^s][^h][^m]**}", "/proc/sysrq-trigger", "/proc/kcore", "/sys/[^f]*/**", "/sys/f[^s]*/**", "/sys/fs/[^c]*/**",
	"/sys/fs/c[^g]*/**", "/sys/fs/cg[^r]*/**", "/sys/firmware/**", "/sys/devices/virtual/powercap/**", "/sys/kernel/security/**",
	"/dev/log", "/dev/random", "/dev/urandom", "/dev/null", "/dev/zero", "/dev/full", "/etc/locale/**", "/etc/locale.alias", "/etc/localtime",
	"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d/{,*.conf}", "/{usr/,}lib{,32,64}/**", "/{usr/,}lib{,32,64}/**.so*",
	"/usr/share/{,**/}locale/**", "/usr/share/zoneinfo/{,**}", "/run/systemd/journal/{dev-log,socket,stdout}",
}

// desktop are globs as the profile of a program with a window has them.
var desktop = append(desktopFiles(), container...)

func desktopFiles() []string {
	texts := []string{
		"/{home/*,root}/.{cache,config,local/share}/**", "/{home/*,root}/.ssh/{,**}", "/{home/*,root}/.gnupg/**", "/{home/*,root}/.{,mozilla/}fonts/**",
		"/{home/*,root}/.mozilla/{firefox,seamonkey}/*/{,**}", "/{home/*,root}/.*_history", "/{home/*,root}/**.{pem,key,crt}", "/{home/*,root}/[^.]**",
		"/proc/{[1-9],[1-9][0-9],[1-9][0-9][0-9],[1-9][0-9][0-9][0-9],[1-4][0-9][0-9][0-9][0-9]}/{maps,auxv,status,fd/,task/*/comm}",
		"/var/{cache,lib}/fontconfig/{,**}", "/var/run/dbus/system_bus_socket", "/{,var/}run/user/[0-9]*/{pulse,bus,dconf}/**", "/dev/snd/*", "/dev/dri/**",
		"/dev/shm/pulse-shm*", "/tmp/.X11-unix/*", "/{,usr/}{bin,sbin}/{ba,da,z,k,}sh", "/opt/**/lib*.so{,.*}", "/sys/devices/pci**/{vendor,device,class}",
	}
	for _, directory := range []string{"icons", "themes", "mime", "fonts", "applications", "pixmaps", "glib-2.0", "X11", "drirc.d", "hwdata", "gstreamer-1.0", "ibus"} {
		texts = append(texts, "/usr/{,local/}share/"+directory+"/", "/usr/{,local/}share/"+directory+"/**", "/usr/lib*/"+directory+"/{,**/}*.so*", "/etc/"+directory+"/{,*.conf}")
	}
	for _, name := range []string{"passwd", "group", "nsswitch.conf", "resolv.conf", "hosts", "host.conf", "gai.conf", "services", "protocols", "machine-id", "mailcap", "timezone"} {
		texts = append(texts, "/{,usr/}etc/"+name, "/{,var/}run/"+name+"*", "/var/lib/extrausers/"+name)
	}
	return texts
}

func BenchmarkCompile(b *testing.B) {
	for name, texts := range map[string][]string{"Container": container, "Desktop": desktop} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				list := rules(globs(b, texts...)...)
				for i := range list {
					list[i].Tag = i % 9 // as many meanings as permissions have in a profile
				}
				a, err := Compile(context.Background(), list, tagBits, Limits{})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(a.Accept)), "states")
			}
		})
	}
}

func BenchmarkTables(b *testing.B) {
	a := compile(b, globs(b, desktop...)...)
	data, err := a.Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Encode", func(b *testing.B) {
		for b.Loop() {
			if _, err := a.Encode(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(data)), "bytes")
	})
	b.Run("Decode", func(b *testing.B) {
		for b.Loop() {
			if _, err := Decode(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkGlobs(b *testing.B) {
	a := compile(b, globs(b, container...)...)
	for b.Loop() {
		if _, err := a.Globs(context.Background(), Start, func(says Accept) bool { return says.One != 0 }, 1000); err != nil {
			b.Fatal(err)
		}
	}
}
