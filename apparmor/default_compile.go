// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"context"
	"io/fs"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// CompileText parses a policy text and compiles it. The features of an abi rule take the place of Options.ABI, which is for policy without one. What is
// wrong with the text is source.Diagnostics.
func CompileText(ctx context.Context, name, text string, from syntax.Options, options Options) (*Compiled, *syntax.Policy, error) {
	policy, err := syntax.Parse(name, text, from)
	if err != nil {
		return nil, policy, err
	}
	compiled, err := CompilePolicy(ctx, policy, from, options)
	return compiled, policy, err
}

// CompilePolicy is CompileText of what was parsed.
func CompilePolicy(ctx context.Context, policy *syntax.Policy, from syntax.Options, options Options) (*Compiled, error) {
	if policy.ABI != nil {
		abi, err := LoadABI(policy, from)
		if err != nil {
			return nil, err
		}
		options.ABI = abi
	}
	return Compile(ctx, policy, options)
}

// CompileStream is CompileText of a text that needs no other file, to the stream that the kernel takes.
func CompileStream(ctx context.Context, name, text string, files fs.FS, options Options) ([]byte, error) {
	compiled, _, err := CompileText(ctx, name, text, syntax.Options{Files: files}, options)
	if err != nil {
		return nil, err
	}
	return binary.Encode(compiled.Policy)
}
