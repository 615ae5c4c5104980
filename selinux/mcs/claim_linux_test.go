// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"slices"
	"testing"
)

func claimers(claims []Claim) []string {
	var names []string
	for _, claim := range claims {
		names = append(names, claim.Holder.ID)
	}
	slices.Sort(names)
	return names
}

func TestClaimsAreFoundByEveryPathGiven(t *testing.T) {
	registry := newRegistry(t)
	pairs := map[string]Pair{"web": {1, 2}, "db": {3, 4}, "pod": {1, 2}}
	for name, volume := range map[string]string{"web": "/srv/web", "db": "/srv/db", "pod": "/srv/web/html"} {
		holder := self(t, name)
		holder.Volumes = []string{volume}
		must(t, registry.Reserve(pairs[name], holder, true))
	}
	nobody := func(Claim) bool { return false }
	for _, test := range []struct {
		ours  func(Claim) bool
		paths []string
		want  []string
	}{
		{nobody, nil, nil},
		{nobody, []string{"/mnt", "/srv/db"}, []string{"db"}},
		{nobody, []string{"/srv"}, []string{"db", "pod", "web"}},
		{nobody, []string{"/srv/web/html/x", "/srv/db/x"}, []string{"db", "pod", "web"}},
		{func(c Claim) bool { return c.Pair == pairs["pod"] }, []string{"/srv"}, []string{"db"}},
		{func(c Claim) bool { return c.Holder.ID == "db" }, []string{"/srv/db"}, nil},
	} {
		claims, err := registry.Claims(test.ours, test.paths...)
		if got := claimers(claims); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, %v, want %q", test.paths, got, err, test.want)
		}
	}
}

// Who takes a volume takes what lies in it, and not what it lies in.
func TestTakenVolumesAreClaimedNoMore(t *testing.T) {
	registry := newRegistry(t)
	for name, holder := range map[string]Pair{"above": {1, 2}, "same": {3, 4}, "beneath": {5, 6}, "taker": {7, 8}} {
		made := self(t, name)
		made.Volumes = map[string][]string{"above": {"/srv"}, "same": {"/srv/data", "/srv/other"}, "beneath": {"/srv/data/deep"}, "taker": {"/srv/data"}}[name]
		must(t, registry.Reserve(holder, made, false))
	}
	must(t, registry.Unclaim("taker", "/mnt/alias", "/srv/data"))
	claims, err := registry.Claims(func(Claim) bool { return false }, "/srv/data/deep")
	if got := claimers(claims); err != nil || !slices.Equal(got, []string{"above", "taker"}) {
		t.Errorf("claimed by %q, %v", got, err)
	}
	if claims, err := registry.Claims(func(Claim) bool { return false }, "/srv/other"); err != nil || !slices.Equal(claimers(claims), []string{"above", "same"}) {
		t.Errorf("its other volume: %q, %v", claimers(claims), err)
	}
	if got := holders(t, registry, Pair{5, 6}); got != "beneath" {
		t.Errorf("the pair is held by %q", got)
	}
}

func TestWhatAContainerLeftIsSucceededOnlyAsAWhole(t *testing.T) {
	left := Holder{ID: "volumes of web", Labelled: []string{"/srv/a", "/srv/b/deep"}}
	for _, test := range []struct {
		volumes []string
		want    bool
	}{{[]string{"/srv/a", "/srv/b"}, true}, {[]string{"/srv"}, true}, {[]string{"/srv/a"}, false}, {[]string{"/srv/a", "/srv/b/deep/er"}, false}, {nil, false}} {
		if got := (Holder{Volumes: test.volumes}).Succeeds(left); got != test.want {
			t.Errorf("%q: %v", test.volumes, got)
		}
	}
	if (Holder{Volumes: []string{"/srv"}}).Succeeds(Holder{ID: "web", Volumes: []string{"/srv/a"}}) {
		t.Error("one that lives is succeeded")
	}
}
