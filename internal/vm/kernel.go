// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ulikunitz/xz"
)

// kernelPackage names: version, flavour, and whether it is the unsigned build.
// Packages of real-time and debug kernels do not match, nor do meta-packages.
var kernelPackage = regexp.MustCompile(`^linux-image-(\d+\.\d+\.[\d.]+(?:[+-][^-]+)?)(-cloud)?-amd64(-unsigned)?$`)

var digits = regexp.MustCompile(`\d+`)

const kernelSection = "kernels"

// kernel is an extracted package: name and directory.
type kernel struct{ name, directory string }

// vmlinux is the path of the decompressed kernel.
func (k kernel) vmlinux() string { return filepath.Join(k.directory, "vmlinux") }

// kernel returns the newest extracted kernel of a version such as "6.12"; only if
// there is none it takes the newest that apt offers.
func (c cache) kernel(ctx context.Context, version string) (kernel, error) {
	entries, err := os.ReadDir(filepath.Join(c.root, kernelSection))
	if err != nil && !os.IsNotExist(err) {
		return kernel{}, err
	}
	var have []string
	for _, entry := range entries {
		if entry.IsDir() {
			have = append(have, entry.Name())
		}
	}
	name := newestKernel(have, version)
	if name == "" {
		if name, err = offeredKernel(ctx, version); err != nil {
			return kernel{}, err
		}
	}
	directory, err := c.extracted(ctx, kernelSection, name, extractVmlinux)
	return kernel{name, directory}, err
}

func offeredKernel(ctx context.Context, version string) (string, error) {
	text, err := output(exec.CommandContext(ctx, "apt-cache", "search", "--names-only", "^linux-image-"))
	if err != nil {
		return "", err
	}
	var offered, usable []string
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		offered = append(offered, name)
		if kernelPackage.MatchString(name) {
			usable = append(usable, name)
		}
	}
	if name := newestKernel(offered, version); name != "" {
		return name, nil
	}
	return "", fmt.Errorf("kernel %s: apt offers %s", version, strings.Join(usable, ", "))
}

// newestKernel picks the package of the newest kernel of a version; of equal ones
// the cloud flavour, which boots faster, and the signed build, which is stable's.
func newestKernel(names []string, version string) string {
	best := ""
	for _, name := range names {
		match := kernelPackage.FindStringSubmatch(name)
		if match == nil || match[1] != version && !strings.HasPrefix(match[1], version+".") {
			continue
		}
		if best == "" || comparePackages(match, kernelPackage.FindStringSubmatch(best)) > 0 {
			best = name
		}
	}
	return best
}

func comparePackages(a, b []string) int {
	if order := slices.Compare(numbers(a[1]), numbers(b[1])); order != 0 {
		return order
	}
	if order := len(a[2]) - len(b[2]); order != 0 {
		return order
	}
	return len(b[3]) - len(a[3])
}

func numbers(version string) []int {
	var values []int
	for _, text := range digits.FindAllString(version, -1) {
		value, err := strconv.Atoi(text)
		if err != nil {
			value = 0 // more digits than an int holds: no real version
		}
		values = append(values, value)
	}
	return values
}

func extractVmlinux(directory string) error {
	images, err := filepath.Glob(filepath.Join(directory, "boot/vmlinuz-*"))
	if err != nil {
		return err
	}
	if len(images) != 1 {
		return fmt.Errorf("the package has %d files boot/vmlinuz-*", len(images))
	}
	image, err := os.ReadFile(images[0])
	if err != nil {
		return err
	}
	vmlinux, err := Vmlinux(image)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(directory, "vmlinux"), vmlinux, 0o644)
}

// module is a kernel module that is not built in: its name and decompressed image.
type module struct {
	name  string
	image []byte
}

// modules returns the named modules and those they depend on, in the order of
// loading, without those that are built in.
func (k kernel) modules(names []string) ([]module, error) {
	files, builtin, err := k.moduleIndex()
	if err != nil {
		return nil, err
	}
	var order []module
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		name = strings.ReplaceAll(name, "-", "_")
		if seen[name] || builtin[name] {
			return nil
		}
		seen[name] = true
		path, ok := files[name]
		if !ok {
			return fmt.Errorf("%s has no module %s", k.name, name)
		}
		image, depends, err := readModule(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, other := range depends {
			if err := add(other); err != nil {
				return err
			}
		}
		order = append(order, module{name, image})
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

func (k kernel) moduleIndex() (files map[string]string, builtin map[string]bool, err error) {
	files, builtin = map[string]string{}, map[string]bool{}
	err = filepath.WalkDir(k.directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.Name() == "modules.builtin" {
			return readBuiltin(path, builtin)
		}
		if name, ok := moduleName(path); ok {
			files[name] = path
		}
		return nil
	})
	return files, builtin, err
}

func readBuiltin(path string, builtin map[string]bool) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := moduleName(strings.TrimSpace(line)); ok {
			builtin[name] = true
		}
	}
	return nil
}

func moduleName(path string) (string, bool) {
	name, suffix, ok := strings.Cut(filepath.Base(path), ".ko")
	return strings.ReplaceAll(name, "-", "_"), ok && (suffix == "" || suffix == ".xz")
}

// readModule returns the decompressed image and the names it depends on.
func readModule(path string) (image []byte, depends []string, err error) {
	image, err = os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	if strings.HasSuffix(path, ".xz") {
		reader, err := xz.NewReader(bytes.NewReader(image))
		if err != nil {
			return nil, nil, err
		}
		if image, err = readAtMost(reader, maxModule); err != nil {
			return nil, nil, err
		}
	}
	depends, err = moduleDepends(image)
	return image, depends, err
}

const maxModule = 64 << 20 // bytes

// moduleDepends reads the "depends=" entry of the section .modinfo, which is a
// list of NUL-terminated strings.
func moduleDepends(image []byte) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no section .modinfo")
	}
	data, err := section.Data()
	if err != nil {
		return nil, err
	}
	for entry := range strings.SplitSeq(string(data), "\x00") {
		if list, ok := strings.CutPrefix(entry, "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}
