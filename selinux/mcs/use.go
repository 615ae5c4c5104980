// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux"
)

// Use is a pair that something has which does not hold it in the registry.
type Use struct {
	Pair Pair
	By   string // what it is, such as `docker container "web"`
	Path string // what says so
}

// broadest is the largest set of categories that is taken for somebody's own. Sets from there up to c0.c1023 are of programs that are trusted with
// every container, whoever has which pair.
const broadest = 32

// uses returns the pairs of each context: its own, or each that a larger set dominates. What is no context, or has no pair, has none.
func uses(by, path string, contexts ...string) []Use {
	var found []Use
	for _, text := range contexts {
		context, err := selinux.ParseContext(text)
		if err != nil || context.NoRange || context.Range.High.Categories.Len() > broadest {
			continue
		}
		var members []uint16
		for category := range context.Range.High.Categories.All() {
			for _, lower := range members {
				found = append(found, Use{Pair{lower, category}, by, path})
			}
			members = append(members, category)
		}
	}
	return found
}

// stateReader reads the pairs of one file of an engine's.
type stateReader func(path string, data []byte) ([]Use, error)

// readDocker reads config.v2.json of one of Docker's containers (container.Container in moby's daemon/container).
func readDocker(path string, data []byte) ([]Use, error) {
	var state struct{ ID, Name, MountLabel, ProcessLabel string }
	if err := json.Unmarshal(data, &state); err != nil {
		return nil, err
	}
	by := fmt.Sprintf("docker container %q", cmp.Or(strings.TrimPrefix(state.Name, "/"), state.ID))
	return uses(by, path, state.ProcessLabel, state.MountLabel), nil
}

// readStorage reads containers.json, in which containers/storage keeps the containers of podman, Buildah and CRI-O with their flags.
func readStorage(path string, data []byte) ([]Use, error) {
	var containers []struct {
		ID    string         `json:"id"`
		Names []string       `json:"names"`
		Flags map[string]any `json:"flags"`
	}
	if err := json.Unmarshal(data, &containers); err != nil {
		return nil, err
	}
	var found []Use
	for _, container := range containers {
		by := fmt.Sprintf("container %q in storage", append(container.Names, container.ID)[0])
		process, _ := container.Flags["ProcessLabel"].(string)
		mount, _ := container.Flags["MountLabel"].(string)
		found = append(found, uses(by, path, process, mount)...)
	}
	return found, nil
}

// readBundle reads the config.json that an OCI runtime got: podman, CRI-O and containerd keep those of their containers.
func readBundle(path string, data []byte) ([]Use, error) {
	var spec struct {
		Process struct {
			Label string `json:"selinuxLabel"`
		} `json:"process"`
		Linux struct {
			Label string `json:"mountLabel"`
		} `json:"linux"`
	}
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, err
	}
	return uses("container of bundle "+path, path, spec.Process.Label, spec.Linux.Label), nil
}

// readDomain reads a libvirt domain: its definition, or while it runs its status, which has the definition within. Labels are those in any seclabel
// element, of the domain or of one disk; those of other models (dac, apparmor) are no contexts.
func readDomain(path string, data []byte) ([]Use, error) {
	decoder := xml.NewDecoder(bytes.NewReader(data))
	var stack, contexts []string
	var name string
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return uses(fmt.Sprintf("libvirt domain %q", name), path, contexts...), nil
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			stack = append(stack, token.Name.Local)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) < 2 {
				continue
			}
			switch parent, element := stack[len(stack)-2], stack[len(stack)-1]; {
			case parent == "domain" && element == "name":
				name = strings.TrimSpace(string(token))
			case parent == "seclabel":
				contexts = append(contexts, strings.TrimSpace(string(token)))
			}
		}
	}
}
