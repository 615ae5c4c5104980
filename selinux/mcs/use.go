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
	"path/filepath"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux"
)

// Use is a pair that something has which does not hold it in the registry.
type Use struct {
	Pair Pair
	By   string // what it is, such as `docker container "web"`
	Path string // what says so

	// Engine is whose container it is: "docker", "containers/storage" (podman, CRI-O and Buildah), "containerd NAMESPACE"; "" for a domain of libvirt's and a process.
	Engine string
	ID     string // of the container in that engine, "" where Engine is and for a volume
	PID    int    // of a process, else 0
}

// The engines that Use names. Docker's containers are those of one of containerd's namespaces, too.
const (
	docker         = "docker"
	storage        = "containers/storage"
	containerd     = "containerd "
	dockersInThere = "moby"
)

// broadest is the largest set of categories that is taken for somebody's own. Sets from there up to c0.c1023 are of programs that are trusted with
// every container, whoever has which pair.
const broadest = 32

// of returns a use of each pair of the contexts.
func (u Use) of(contexts ...string) []Use {
	var found []Use
	for _, text := range contexts {
		for _, u.Pair = range pairsIn(text) {
			found = append(found, u)
		}
	}
	return found
}

// pairsIn returns a context's own pair, or each that a larger set dominates. What is no context, or has no pair, has none.
func pairsIn(text string) []Pair {
	context, err := selinux.ParseContext(text)
	if err != nil || context.NoRange || context.Range.High.Categories.Len() > broadest {
		return nil
	}
	var found []Pair
	var members []uint16
	for category := range context.Range.High.Categories.All() {
		for _, lower := range members {
			found = append(found, Pair{lower, category})
		}
		members = append(members, category)
	}
	return found
}

// format is one of the files in which engines keep their containers' labels.
type format int

const (
	dockerContainer  format = iota // config.v2.json
	storageList                    // containers.json
	storageBundle                  // userdata/config.json
	containerdBundle               // config.json
	libvirtDomain                  // NAME.xml
)

// uses reads the pairs of a file; path is where it is.
func (f format) uses(path string, data []byte) ([]Use, error) {
	switch f {
	case dockerContainer:
		return readDocker(path, data)
	case storageList:
		return readStorage(path, data)
	case libvirtDomain:
		return readDomain(path, data)
	}
	return f.readBundle(path, data)
}

// readDocker reads config.v2.json of one of Docker's containers (container.Container in moby's daemon/container).
func readDocker(path string, data []byte) ([]Use, error) {
	var state struct{ ID, Name, MountLabel, ProcessLabel string }
	if err := json.Unmarshal(data, &state); err != nil {
		return nil, err
	}
	use := Use{By: fmt.Sprintf("docker container %q", cmp.Or(strings.TrimPrefix(state.Name, "/"), state.ID)), Path: path, Engine: docker, ID: state.ID}
	return use.of(state.ProcessLabel, state.MountLabel), nil
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
		use := Use{By: fmt.Sprintf("container %q in storage", append(container.Names, container.ID)[0]), Path: path, Engine: storage, ID: container.ID}
		process, _ := container.Flags["ProcessLabel"].(string)
		mount, _ := container.Flags["MountLabel"].(string)
		found = append(found, use.of(process, mount)...)
	}
	return found, nil
}

// readBundle reads the config.json that an OCI runtime got: podman, CRI-O and containerd keep those of their containers.
func (f format) readBundle(path string, data []byte) ([]Use, error) {
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
	use := Use{By: "container of bundle " + path, Path: path}
	use.Engine, use.ID = f.container(path)
	return use.of(spec.Process.Label, spec.Linux.Label), nil
}

// container returns the engine's container that a bundle is of, by where it lies: .../ID/userdata/config.json and .../NAMESPACE/ID/config.json.
func (f format) container(path string) (engine, id string) {
	directory := filepath.Dir(path)
	if f == storageBundle {
		return storage, filepath.Base(filepath.Dir(directory))
	}
	if namespace := filepath.Base(filepath.Dir(directory)); namespace != dockersInThere {
		return containerd + namespace, filepath.Base(directory)
	}
	return docker, filepath.Base(directory)
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
			return Use{By: fmt.Sprintf("libvirt domain %q", name), Path: path}.of(contexts...), nil
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
