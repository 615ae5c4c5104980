// SPDX-License-Identifier: Apache-2.0

// Package apparmor_test holds our AppArmor compiler against the reference: the parser's own test suite and scripts, and what the parser makes of
// every profile that Debian ships.
package apparmor_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-project/bulkhead/apparmor"
	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
	"github.com/bulkhead-project/bulkhead/test/apparmor/reference"
)

// patience is for one case; the slowest takes the reference some seconds.
const patience = 3 * time.Minute

// includes are the texts that all compilations share.
var includes = &syntax.Cache{}

// compile makes the binary policy of a text.
func compile(ctx context.Context, from reference.Sources, name string, text []byte) (stream []byte, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v", fault)
		}
	}()
	features, err := os.ReadFile(from.Features)
	if err != nil {
		return nil, err
	}
	target, err := apparmor.ParseFeatures(string(features))
	if err != nil {
		return nil, err
	}
	files := syntax.Options{Files: os.DirFS("/"), Base: from.Base, Include: from.Include, Directory: from.Directory, Cache: includes}
	policy, err := syntax.Parse(name, string(text), files)
	if err != nil {
		return nil, err
	}
	abi, err := apparmor.LoadABI(policy, files)
	if err != nil {
		return nil, err
	}
	compiled, err := apparmor.Compile(ctx, policy, apparmor.Options{Features: target, ABI: abi, Workers: 1})
	if err != nil {
		return nil, err
	}
	return binary.Encode(compiled.Policy)
}

// parallel calls do for each item, on every processor.
func parallel[T any](items []T, do func(item T)) {
	queue := make(chan T)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for item := range queue {
				do(item)
			}
		})
	}
	for _, item := range items {
		queue <- item
	}
	close(queue)
	workers.Wait()
}

func suiteSources(t *testing.T) reference.Sources {
	suite := reference.Suite(t)
	return reference.Sources{Features: filepath.Join(suite, "features_files/features.all"), Include: []string{filepath.Join(suite, "simple_tests")}, Directory: suite}
}

func TestSimpleTestsOfTheParser(t *testing.T) {
	t.Parallel()
	from := suiteSources(t)
	written, generated := reference.Cases(t)
	if len(written) < 2000 || len(generated) < 70000 {
		t.Fatalf("%d cases by hand, %d generated", len(written), len(generated))
	}
	for name, cases := range map[string][]reference.Case{"written": written, "generated": generated} {
		t.Run(name, func(t *testing.T) {
			var mutex sync.Mutex
			asExpected, listed, accepted := 0, 0, 0
			parallel(cases, func(c reference.Case) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err := compile(ctx, from, c.Name, c.Text)
				mutex.Lock()
				defer mutex.Unlock()
				reason, known := otherwise[c.Name]
				switch as := (err == nil) == c.Pass; {
				case as && known:
					t.Errorf("%s: answered as the suite expects, though the list says: %s", c.Name, reason)
				case !as && !known:
					t.Errorf("%s: wants pass %v, got %v", c.Name, c.Pass, err)
				case as:
					asExpected++
				default:
					listed++
				}
				if err == nil {
					accepted++
				}
			})
			t.Logf("%d cases: %d as the suite expects, %d accepted; %d otherwise, by name", len(cases), asExpected, accepted, listed)
		})
	}
}
