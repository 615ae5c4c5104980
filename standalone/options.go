// SPDX-License-Identifier: Apache-2.0

// Package standalone is what `bulkhead run` needs besides confinement: Docker's options, a plain OCI config with Docker's defaults, the
// container's user, its overlay root, the files under /etc that an engine provides, its log and its terminal.
//
// The config that Spec makes holds no SELinux label, AppArmor profile, seccomp filter or Landlock domain: package plan decides those.
// Followed: Docker Engine's defaults (moby daemon/pkg/oci) and option syntax, the OCI runtime and image specifications.
//
// Limits: no networks of its own (a container has the host's network or none), no user namespace, no named or anonymous volumes, no health
// checks. A privileged container may use every device but finds only the default ones in /dev; it can make the others itself.
package standalone

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/shield/stream"
)

// Values of Options.Network, Options.PID and Options.IPC.
const (
	NetworkNone = "none" // a network of its own with nothing but the loopback device; the default
	ShareHost   = "host" // the host's namespace
)

// Options is what the command line of `bulkhead run` asks for. Its zero value, with an Image or a RootFS, is a container with every default.
type Options struct {
	Image       string            // layout directory, archive or registry reference; excludes RootFS
	RootFS      string            // directory that serves as a read-only lower layer
	Command     []string          // replaces the image's Cmd
	Entrypoint  *string           // replaces the image's Entrypoint and drops its Cmd; "" for none, nil for the image's
	Environment []string          // NAME=VALUE; a bare NAME removes the image's, see ResolveEnvironment
	WorkDir     string            // absolute in the container; "" for the image's
	User        string            // USER[:GROUP], names or numbers; "" for the image's
	Name        string            // of the container
	Hostname    string            // "" leaves it to the caller
	Network     string            // NetworkNone (also "") or ShareHost
	PID         string            // "" or ShareHost
	IPC         string            // "" or ShareHost
	CapAdd      []string          // CAP_NAME or ALL, see ParseCapability
	CapDrop     []string          // the same
	Volumes     []plan.Volume     // see ParseVolume
	Take        bool              // volumes that are labelled are taken from containers that have them or use them
	Shields     []plan.Shield     // see plan.ParseShield
	Tmpfs       []Tmpfs           // see ParseTmpfs
	ReadOnly    bool              // the root file system
	Memory      int64             // limit in bytes; 0 for none
	PidsLimit   int64             // limit of tasks; 0 or less for none
	Interactive bool              // keep standard input open
	TTY         bool              // give the container a terminal
	Remove      bool              // delete the container when it ends
	Detach      bool              // do not wait for it
	ShieldStdio []string          // age recipients for whom the outputs are sealed; none for plain ones
	Privileged  bool              // all capabilities and devices, nothing masked
	Annotations map[string]string // for config.json
	Security    plan.SecurityOptions
}

// UsageError says what is wrong with an option's value. Exit status 2.
type UsageError struct {
	Option string // as on the command line, "--memory"
	Reason string
	Hint   string // what to write instead; may be empty
}

func (e *UsageError) Error() string { return e.Option + ": " + e.Reason }

func usage(option, hint, reason string, arguments ...any) error {
	return &UsageError{Option: option, Reason: fmt.Sprintf(reason, arguments...), Hint: hint}
}

// Check finds values, and combinations, that no kernel could honour. Errors are *UsageError.
func (o Options) Check() error {
	checks := []func() error{o.checkSource, o.checkNamespaces, o.checkNames, o.checkWorkDir, o.checkCapabilities, o.checkTargets, o.checkRecipients, o.checkTake}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (o Options) checkSource() error {
	switch {
	case o.Image != "" && o.RootFS != "":
		return usage("--rootfs", "give one of the two", "an image, %q, is given too", o.Image)
	case o.Image == "" && o.RootFS == "":
		return usage("IMAGE", "bulkhead run [OPTIONS] IMAGE [COMMAND...], or --rootfs DIR COMMAND...", "no image given")
	case o.RootFS != "" && !path.IsAbs(o.RootFS):
		return usage("--rootfs", "give an absolute path", "%q is not absolute", o.RootFS)
	}
	return nil
}

func (o Options) checkRecipients() error {
	if _, err := stream.ParseRecipients(o.ShieldStdio); err != nil {
		return usage("--shield-stdio", "make a pair of keys with age-keygen, and give the public one", "%v", err)
	}
	return nil
}

func (o Options) checkNamespaces() error {
	if !slices.Contains([]string{"", NetworkNone, ShareHost}, o.Network) {
		return usage("--network", "use --network none (the default) or --network host; for bridges run bulkhead-runtime under docker or podman",
			"%q: only none and host exist here", o.Network)
	}
	if err := checkShared("--pid", o.PID); err != nil {
		return err
	}
	return checkShared("--ipc", o.IPC)
}

func checkShared(option, value string) error {
	if value == "" || value == ShareHost {
		return nil
	}
	return usage(option, "leave it out for a namespace of its own, or use "+option+" host", "%q: only host exists here", value)
}

func (o Options) checkNames() error {
	if o.Hostname != "" && !validHostname(o.Hostname) {
		return usage("--hostname", "letters, digits, '-' and '.', at most 64, starting with a letter or digit", "%.80q is not a host name", o.Hostname)
	}
	if o.Name != "" && !validName(o.Name) {
		return usage("--name", "letters, digits, '_', '.' and '-', at most 128, starting with a letter or digit", "%.140q is not a name", o.Name)
	}
	return nil
}

// validHostname allows 64 bytes, the kernel's __NEW_UTS_LEN.
func validHostname(name string) bool { return len(name) <= 64 && startsAlphanumeric(name, "-.") }

func validName(name string) bool { return len(name) <= 128 && startsAlphanumeric(name, "_.-") }

func startsAlphanumeric(text, others string) bool {
	for i, r := range text {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || !strings.ContainsRune(others, r)) {
			return false
		}
	}
	return text != ""
}

func (o Options) checkWorkDir() error {
	if o.WorkDir != "" && !path.IsAbs(o.WorkDir) {
		return usage("--workdir", "write it from the container's root", "%q is not an absolute path", o.WorkDir)
	}
	return nil
}

func (o Options) checkTake() error {
	if o.Take && !slices.ContainsFunc(o.Volumes, func(v plan.Volume) bool { return v.Relabel != "" || v.Chown }) {
		return usage("--take", "give the volume that is to be taken z, Z or U, as in -v /srv/data:/data:Z", "no volume is to be labelled")
	}
	return nil
}

func (o Options) checkCapabilities() error {
	for _, name := range o.CapAdd {
		if slices.Contains(o.CapDrop, name) {
			return usage("--cap-add", "give it to one of the two options", "%s is given to --cap-drop too", name)
		}
	}
	if o.Privileged && len(o.CapDrop) > 0 {
		return usage("--cap-drop", "leave out --privileged and add what is needed", "--privileged gives all capabilities")
	}
	return nil
}

// checkTargets refuses two mounts at one place: which of them wins would be a matter of order.
func (o Options) checkTargets() error {
	seen := map[string]string{}
	add := func(option, destination string) error {
		if other, ok := seen[destination]; ok {
			return usage(option, "", "%s is already the place of a %s", destination, strings.TrimLeft(other, "-"))
		}
		seen[destination] = option
		return nil
	}
	for _, volume := range o.Volumes {
		if err := add("--volume", volume.Destination); err != nil {
			return err
		}
	}
	for _, shield := range o.Shields {
		if err := add("--shield", shield.Destination); err != nil {
			return err
		}
	}
	for _, tmpfs := range o.Tmpfs {
		if err := add("--tmpfs", tmpfs.Destination); err != nil {
			return err
		}
	}
	return nil
}

// ParseCapability reads docker's name of a capability, in any case and with or without CAP_, and returns it as CAP_NAME, or "ALL".
// option is "--cap-add" or "--cap-drop", for the *UsageError.
func ParseCapability(option, text string) (string, error) {
	name := strings.ToUpper(text)
	if name == "ALL" {
		return name, nil
	}
	name = "CAP_" + strings.TrimPrefix(name, "CAP_")
	known := plan.CapabilityNames()
	if slices.Contains(known, name) {
		return name, nil
	}
	hint := "see capabilities(7) for the names"
	for i := range known {
		known[i] = strings.TrimPrefix(known[i], "CAP_")
	}
	if near := plan.Nearest(strings.TrimPrefix(name, "CAP_"), known); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	return "", usage(option, hint, "unknown capability %.40q", text)
}

// Docker refuses less: a container does not start in less than this.
const minMemory = 6 << 20

// ParseMemory reads docker's size syntax, a number with an optional unit b, k, m, g or t ("512m", "1.5g", "64MiB"; units are powers of
// 1024), and returns bytes.
func ParseMemory(text string) (int64, error) {
	bytes, err := parseSize(text)
	if err != nil {
		return 0, usage("--memory", "write a number and a unit: 512m, 2g", "%v", err)
	}
	if bytes < minMemory {
		return 0, usage("--memory", "give at least 6m", "%q is less than a container needs", text)
	}
	return bytes, nil
}

func parseSize(text string) (int64, error) {
	number := strings.ToLower(text)
	shift := 0
	unit := strings.TrimLeft(number, "0123456789.")
	number = number[:len(number)-len(unit)]
	switch strings.TrimSuffix(strings.TrimSuffix(unit, "b"), "i") {
	case "":
	case "k":
		shift = 10
	case "m":
		shift = 20
	case "g":
		shift = 30
	case "t":
		shift = 40
	default:
		return 0, fmt.Errorf("%.40q: unknown unit %.20q", text, unit)
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || len(number) > 24 || unit == "i" || unit == "ib" {
		return 0, fmt.Errorf("%.40q is not a size", text)
	}
	if value *= float64(int64(1) << shift); value >= 1<<62 {
		return 0, fmt.Errorf("%.40q is too large", text)
	}
	return int64(value), nil
}

// ParsePidsLimit reads the number of tasks that a container may have; -1 and 0 mean no limit and give 0.
func ParsePidsLimit(text string) (int64, error) {
	limit, err := strconv.ParseInt(text, 10, 64)
	if err != nil || limit < -1 {
		return 0, usage("--pids-limit", "a number of tasks, or -1 for no limit", "%.40q is not a limit", text)
	}
	return max(limit, 0), nil
}

// ParseVolume reads SOURCE:DESTINATION[:OPTION,...] with the options ro, rw, z, Z and U. Both paths must be absolute.
func ParseVolume(text string) (plan.Volume, error) {
	fail := func(hint, reason string, arguments ...any) (plan.Volume, error) {
		return plan.Volume{}, usage("--volume", hint, "%.200q: "+reason, append([]any{text}, arguments...)...)
	}
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return fail("write SOURCE:DESTINATION or SOURCE:DESTINATION:OPTIONS; paths with ':' cannot be volumes", "%d fields", len(parts))
	}
	if !path.IsAbs(parts[0]) {
		return fail("give the absolute path of a directory or file of the host; named volumes do not exist here", "source %q is not absolute", parts[0])
	}
	if reason := badDestination(parts[1]); reason != "" {
		return fail("give an absolute path below the container's root", "destination %s", reason)
	}
	volume := plan.Volume{Source: path.Clean(parts[0]), Destination: path.Clean(parts[1])}
	if len(parts) == 2 {
		return volume, nil
	}
	given := map[string]string{}
	for option := range strings.SplitSeq(parts[2], ",") {
		subject, ok := applyVolumeOption(&volume, option)
		if !ok {
			return fail("options are ro, rw, z (shared label), Z (private label) and U (owner)", "unknown option %q", option)
		}
		if other, ok := given[subject]; ok && other != option {
			return fail("give one of the two", "%s contradicts %s", option, other)
		}
		given[subject] = option
	}
	return volume, nil
}

// applyVolumeOption names the subject that the option decides, so that ro and rw, or z and Z, are seen to clash.
func applyVolumeOption(volume *plan.Volume, option string) (subject string, known bool) {
	switch option {
	case "ro", "rw":
		volume.ReadOnly = option == "ro"
		return "writing", true
	case "z":
		volume.Relabel = plan.RelabelShared
		return "label", true
	case "Z":
		volume.Relabel = plan.RelabelPrivate
		return "label", true
	case "U":
		volume.Chown = true
		return "owner", true
	}
	return "", false
}

func badDestination(destination string) (reason string) {
	switch {
	case !path.IsAbs(destination):
		return fmt.Sprintf("%q is not absolute", destination)
	case path.Clean(destination) == "/":
		return "is the container's root"
	case slices.Contains(strings.Split(destination, "/"), ".."):
		return fmt.Sprintf("%q holds '..'", destination)
	}
	return ""
}

// Tmpfs is a file system in memory.
type Tmpfs struct {
	Destination string   // absolute in the container
	Options     []string // of the mount, Docker's noexec, nosuid and nodev included unless the opposite was asked for
}

// ParseTmpfs reads DESTINATION[:OPTION,...]: the mount flags of mount(8) and size=, mode=, uid=, gid=, nr_inodes=, nr_blocks= of tmpfs(5).
func ParseTmpfs(text string) (Tmpfs, error) {
	destination, list, hasOptions := strings.Cut(text, ":")
	if reason := badDestination(destination); reason != "" {
		return Tmpfs{}, usage("--tmpfs", "give an absolute path below the container's root", "destination %s", reason)
	}
	tmpfs := Tmpfs{Destination: path.Clean(destination)}
	if hasOptions {
		tmpfs.Options = strings.Split(list, ",")
	}
	for _, option := range tmpfs.Options {
		if !validTmpfsOption(option) {
			return Tmpfs{}, usage("--tmpfs", "options are size=64m, mode=1777, uid=N, gid=N, nr_inodes=N, nr_blocks=N and mount flags such as ro and exec",
				"%.200q: unknown option or value %.60q", text, option)
		}
	}
	for _, flag := range []string{"noexec", "nosuid", "nodev"} {
		if !slices.Contains(tmpfs.Options, flag) && !slices.Contains(tmpfs.Options, flag[2:]) {
			tmpfs.Options = append(tmpfs.Options, flag)
		}
	}
	return tmpfs, nil
}

func validTmpfsOption(option string) bool {
	name, value, hasValue := strings.Cut(option, "=")
	if !hasValue {
		return slices.Contains([]string{"ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "noatime", "relatime", "strictatime"}, option)
	}
	var err error
	switch name {
	case "size":
		_, err = strconv.ParseUint(trimUnit(value, "kKmMgG%"), 10, 63)
	case "nr_inodes", "nr_blocks":
		_, err = strconv.ParseUint(trimUnit(value, "kKmMgG"), 10, 63)
	case "mode":
		_, err = strconv.ParseUint(value, 8, 12)
	case "uid", "gid":
		_, err = strconv.ParseUint(value, 10, 31)
	default:
		return false
	}
	return err == nil
}

func trimUnit(value, units string) string {
	if value != "" && strings.Contains(units, value[len(value)-1:]) {
		return value[:len(value)-1]
	}
	return value
}

// ResolveEnvironment reads the values of -e: NAME=VALUE stays; NAME takes its value from lookup (os.LookupEnv), and where that has none
// stays bare, which removes the variable that an image may set.
func ResolveEnvironment(items []string, lookup func(string) (string, bool)) ([]string, error) {
	resolved := make([]string, 0, len(items))
	for _, item := range items {
		name, _, hasValue := strings.Cut(item, "=")
		if name == "" || strings.ContainsRune(item, 0) {
			return nil, usage("--env", "write NAME=VALUE or NAME", "%.80q has no name", item)
		}
		if value, ok := lookup(name); ok && !hasValue {
			item = name + "=" + value
		}
		resolved = append(resolved, item)
	}
	return resolved, nil
}

// ParseAnnotation reads KEY=VALUE.
func ParseAnnotation(text string) (key, value string, err error) {
	key, value, hasValue := strings.Cut(text, "=")
	if key == "" || !hasValue {
		return "", "", usage("--annotation", "write KEY=VALUE", "%.80q is not an annotation", text)
	}
	// Engines have nothing but annotations to speak to Bulkhead; here they would be ignored.
	if layer, ours := strings.CutPrefix(key, "org.bulkhead."); ours {
		instead := "use --security-opt " + layer + "=" + value
		if strings.HasPrefix(layer, "shield") {
			instead = "use --" + layer
		}
		return "", "", usage("--annotation", instead, "%.80q is for engines that run bulkhead-runtime", text)
	}
	return key, value, nil
}
