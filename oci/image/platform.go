// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// parsePlatform reads OS/ARCHITECTURE[/VARIANT]; empty means this program's own.
func parsePlatform(text string) (v1.Platform, error) {
	if text == "" {
		return v1.Platform{OS: "linux", Architecture: runtime.GOARCH}, nil
	}
	platform, err := v1.ParsePlatform(text)
	if err != nil {
		return v1.Platform{}, fmt.Errorf("platform %q: %w", text, err)
	}
	if platform.OS != "linux" || platform.Architecture == "" {
		return v1.Platform{}, fmt.Errorf("platform %q: want linux/ARCHITECTURE[/VARIANT]", text)
	}
	return *platform, nil
}

// variants lists the variants that a machine of this architecture surely runs, best first. A newer variant than the
// baseline (amd64/v3, say) is chosen only when it was asked for.
func variants(platform v1.Platform) []string {
	if platform.Variant != "" {
		return []string{platform.Variant}
	}
	switch platform.Architecture {
	case "amd64":
		return []string{"", "v1"}
	case "arm64":
		return []string{"", "v8"}
	case "arm":
		return []string{"v7", "", "v6", "v5"}
	}
	return []string{""}
}

// satisfies says whether an image's own statement fits; an image that states no platform fits any.
func satisfies(stated *v1.Platform, wanted v1.Platform) bool {
	if stated == nil || stated.OS == "" && stated.Architecture == "" {
		return true
	}
	return stated.OS == wanted.OS && stated.Architecture == wanted.Architecture &&
		(stated.Variant == "" || slices.Contains(variants(wanted), stated.Variant))
}

// choose picks the image for a platform from an index.
func choose(manifests []v1.Descriptor, wanted v1.Platform) (v1.Descriptor, error) {
	for _, variant := range variants(wanted) {
		for _, candidate := range manifests {
			if p := candidate.Platform; p != nil && p.OS == wanted.OS && p.Architecture == wanted.Architecture && p.Variant == variant {
				return candidate, nil
			}
		}
	}
	if len(manifests) == 1 && manifests[0].Platform == nil {
		return manifests[0], nil
	}
	return v1.Descriptor{}, fmt.Errorf("no image for %s: %w", wanted, offered(manifests))
}

// offered says which platforms an index has. Build attestations are listed as unknown/unknown and are no images.
func offered(manifests []v1.Descriptor) error {
	var names []string
	for _, candidate := range manifests {
		if p := candidate.Platform; p != nil && p.OS != "unknown" {
			names = append(names, p.String())
		}
	}
	if len(names) == 0 {
		return errors.New("the index names no platform")
	}
	slices.Sort(names)
	return line{fmt.Errorf("there is %s", strings.Join(slices.Compact(names), ", "))}
}
