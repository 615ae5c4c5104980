// SPDX-License-Identifier: Apache-2.0

package enforce

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// Survey fills in what only the machine knows of a request: which joined namespaces are the host's own, where a volume's path really leads,
// and whose private label it carries. self is the name under which the registry knows the container, whose own claims of an earlier life do
// not stand in its way.
func Survey(request *plan.Request, registry mcs.Registry, self string) error {
	for _, path := range request.Namespaces.Joined {
		var joined unix.Stat_t
		if err := unix.Stat(path, &joined); err != nil {
			return fmt.Errorf("namespace %s: %w", path, err)
		}
		for name, shared := range map[string]*bool{"pid": &request.Namespaces.HostPID, "net": &request.Namespaces.HostNetwork, "ipc": &request.Namespaces.HostIPC} {
			// What is the runtime's own is as good as the host's, where /proc/1 is closed.
			for _, process := range []string{"1", "self"} {
				var host unix.Stat_t
				if unix.Stat(filepath.Join("/proc", process, "ns", name), &host) == nil && host.Dev == joined.Dev && host.Ino == joined.Ino {
					*shared = true
				}
			}
		}
	}
	if request.Root != "" {
		root, err := filepath.EvalSymlinks(request.Root)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("root file system %s: %w", request.Root, err)
		}
		if err == nil {
			request.Root = root
		}
	}
	return surveyVolumes(request, registry, self)
}

// namedPair returns the pair that an engine's label or an option names.
func namedPair(request *plan.Request) (mcs.Pair, bool) {
	if engine := request.Engine; engine != nil && engine.ProcessLabel != "" {
		context, err := selinux.ParseContext(engine.ProcessLabel)
		if err != nil || context.NoRange {
			return mcs.Pair{}, false
		}
		return mcs.PairOf(context.Range.High.Categories)
	}
	named, err := selinux.ParseRange(request.Security.Label.Level)
	if err != nil {
		return mcs.Pair{}, false
	}
	return mcs.PairOf(named.High.Categories)
}

// CheckLabels has the loaded policy confirm each context before anything is mounted or labelled with it.
func CheckLabels(contexts ...string) error {
	host, err := selinux.FindHost("/proc")
	if err != nil {
		return err
	}
	for _, context := range contexts {
		if context == "" {
			continue
		}
		err := host.CheckContext(context)
		var invalid *selinux.InvalidContextError
		if errors.As(err, &invalid) {
			return &plan.UnavailableError{Layer: "selinux", Reason: fmt.Sprintf("the loaded policy does not know the context %s", context),
				Hint: "check user, role, type and level against the policy (seinfo -t, -r, -u)"}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// RequireRoot returns an error for a user who cannot confine anything.
func RequireRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("not root")
	}
	return nil
}
