// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	fake "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ociLayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// build makes an image of two layers for an architecture, whose command is its architecture.
func build(t testing.TB, architecture string) v1.Image {
	t.Helper()
	var layers []v1.Layer
	for _, content := range [][]byte{pack(t, file("lower", architecture)), pack(t, file("upper", architecture))} {
		made, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, made)
	}
	made, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	config, err := made.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config.OS, config.Architecture, config.Config.Cmd = "linux", architecture, []string{architecture}
	if made, err = mutate.ConfigFile(made, config); err != nil {
		t.Fatal(err)
	}
	return made
}

func indexOf(t testing.TB, platforms ...string) v1.ImageIndex {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, text := range platforms {
		platform, err := v1.ParsePlatform(text)
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: build(t, platform.Architecture), Descriptor: v1.Descriptor{Platform: platform}})
	}
	return index
}

func host() string { return "linux/" + runtime.GOARCH }

func newLayout(t testing.TB, tagged map[string]v1.Image) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "layout")
	to, err := ociLayout.Write(path, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for tag, content := range tagged {
		if err := to.AppendImage(content, ociLayout.WithAnnotations(map[string]string{referenceName: tag})); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func digestOfImage(t testing.TB, of v1.Image) string {
	t.Helper()
	digest, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// newRegistry serves an empty registry on loopback behind middleware, and returns HOST:PORT.
func newRegistry(t testing.TB, middleware func(http.Handler) http.Handler) string {
	t.Helper()
	server := httptest.NewServer(middleware(fake.New(fake.Logger(log.New(io.Discard, "", 0)))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func plainly(handler http.Handler) http.Handler { return handler }

func mustParse(t testing.TB, text string) name.Reference {
	t.Helper()
	reference, err := name.ParseReference(text)
	if err != nil {
		t.Fatal(err)
	}
	return reference
}

// isBuilt checks that an image is build(architecture), down to its files.
func isBuilt(t *testing.T, of *Image, architecture string) {
	t.Helper()
	if len(of.Config.Cmd) != 1 || of.Config.Cmd[0] != architecture {
		t.Errorf("command is %q, want %q", of.Config.Cmd, architecture)
	}
	unpacked := mustUnpack(t, newStore(t), of)
	if len(unpacked.Layers) != 2 || unpacked.Digest != of.Digest || unpacked.Config.Cmd[0] != architecture {
		t.Fatalf("unpacked %+v", unpacked)
	}
	for i, name := range []string{"lower", "upper"} {
		if got := readFile(t, filepath.Join(unpacked.Layers[i], name)); got != architecture {
			t.Errorf("%s holds %q", name, got)
		}
	}
}

func TestOpenLayout(t *testing.T) {
	one, two := build(t, runtime.GOARCH), build(t, runtime.GOARCH)
	two, err := mutate.Config(two, v1.Config{Cmd: []string{"two"}})
	if err != nil {
		t.Fatal(err)
	}
	single, double := newLayout(t, map[string]v1.Image{"v1": one}), newLayout(t, map[string]v1.Image{"v1": one, "v2": two})
	for _, c := range []struct {
		reference string
		want      v1.Image
		err       string
	}{
		{single, one, ""},
		{"oci:" + single, one, ""},
		{single + ":v1", one, ""},
		{"oci:" + double + ":v2", two, ""},
		{double, nil, "holds several images, name one as PATH:TAG; its tags are "},
		{double + ":v3", nil, `no image tagged "v3"; its tags are `},
		{"oci:" + single + "x", nil, "no such file or directory"},
	} {
		found, err := Open(context.Background(), c.reference, Options{})
		if c.err != "" {
			contains(t, err, c.err)
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", c.reference, err)
		}
		if found.Digest != digestOfImage(t, c.want) || found.Reference != c.reference {
			t.Errorf("%s: found %s", c.reference, found.Digest)
		}
	}
	found, err := Open(context.Background(), single, Options{})
	if err != nil {
		t.Fatal(err)
	}
	isBuilt(t, found, runtime.GOARCH)
}

func TestOpenArchive(t *testing.T) {
	one, two := build(t, runtime.GOARCH), build(t, runtime.GOARCH)
	two, err := mutate.Config(two, v1.Config{Cmd: []string{"two"}})
	if err != nil {
		t.Fatal(err)
	}
	single, double := filepath.Join(t.TempDir(), "single.tar"), filepath.Join(t.TempDir(), "double.tar")
	if err := tarball.WriteToFile(single, mustParse(t, "example/one:v1"), one); err != nil {
		t.Fatal(err)
	}
	images := map[name.Reference]v1.Image{mustParse(t, "busybox"): one, mustParse(t, "localhost:5000/two:v2"): two}
	if err := tarball.MultiRefWriteToFile(double, images); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		reference string
		want      v1.Image
		err       string
	}{
		{single, one, ""},
		{"docker-archive:" + single, one, ""},
		{single + ":example/one:v1", one, ""},
		{double + ":busybox", one, ""},
		{double + ":localhost:5000/two:v2", two, ""},
		{double + ":v2", two, ""},
		{double, nil, "holds several images, name one as PATH:TAG; its tags are "},
		{single + ":v9", nil, `no image tagged "v9"; its tags are `},
		{"docker-archive:" + t.TempDir(), nil, "is not a regular file"},
	} {
		found, err := Open(context.Background(), c.reference, Options{})
		if c.err != "" {
			contains(t, err, c.err)
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", c.reference, err)
		}
		if id, _ := c.want.ConfigName(); found.Digest != id.String() {
			t.Errorf("%s: found %s", c.reference, found.Digest)
		}
	}
	found, err := Open(context.Background(), single, Options{})
	if err != nil {
		t.Fatal(err)
	}
	isBuilt(t, found, runtime.GOARCH)
}

// TestHostileArchive shows that a docker-archive's own structure is not trusted.
func TestHostileArchive(t *testing.T) {
	manifest := func(config string, layers ...string) string {
		text, err := json.Marshal([]archived{{Config: config, Layers: layers}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, c := range []struct {
		finding, want string
		content       []byte
	}{
		{"no manifest", `no member "manifest.json"`, pack(t, file("x", ""))},
		{"broken manifest", `manifest.json: unexpected end of JSON input`, pack(t, file("manifest.json", "[{"))},
		{"no image", `manifest.json names no image`, pack(t, file("manifest.json", "[]"))},
		{"config outside", `no member "../../etc/passwd"`, pack(t, file("manifest.json", manifest("../../etc/passwd")))},
		{"links in a circle", `member "a": too many links`, pack(t, file("manifest.json", manifest("a")), symlink("a", "b"), symlink("b", "a"))},
		{"layers without diff IDs", `1 layers but 0 diff IDs`, pack(t, file("manifest.json", manifest("c", "l")), file("c", "{}"), file("l", ""))},
		{"huge configuration", `member "c": larger than 8388608 bytes`, pack(t, file("manifest.json", manifest("c")), file("c", strings.Repeat(" ", maxDocument+1)))},
		{"truncated", `not a tar, or damaged`, pack(t, file("manifest.json", "[]"), file("x", strings.Repeat("x", 9999)))[:3100]},
	} {
		t.Run(c.finding, func(t *testing.T) {
			_, err := Open(context.Background(), "docker-archive:"+writeFile(t, c.content), Options{})
			contains(t, err, c.want)
		})
	}
}

func TestOpenRegistry(t *testing.T) {
	at := newRegistry(t, plainly)
	index, foreign := indexOf(t, "linux/s390x", host()+"/v9", host(), "unknown/unknown"), indexOf(t, "linux/s390x", "linux/arm/v7")
	if err := remote.WriteIndex(mustParse(t, at+"/multi:v1"), index); err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(mustParse(t, at+"/foreign"), foreign); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(mustParse(t, at+"/single"), build(t, runtime.GOARCH)); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(mustParse(t, at+"/alien"), build(t, "s390x")); err != nil {
		t.Fatal(err)
	}
	digest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, reference := range []string{at + "/multi:v1", at + "/single", at + "/multi@" + digest.String()} {
		found, err := Open(context.Background(), reference, Options{Keychain: authn.NewMultiKeychain()})
		if err != nil {
			t.Fatal(err)
		}
		isBuilt(t, found, runtime.GOARCH)
	}
	found, err := Open(context.Background(), at+"/multi:v1", Options{Platform: "linux/s390x"})
	if err != nil {
		t.Fatal(err)
	}
	isBuilt(t, found, "s390x")
	for reference, want := range map[string]string{
		at + "/foreign":  "no image for " + host() + ": there is linux/arm/v7, linux/s390x",
		at + "/alien":    `is for "linux/s390x", not for ` + host(),
		at + "/none":     "registry " + at + ": not found: ",
		at + "/multi:v2": "registry " + at + ": not found: ",
	} {
		_, err := Open(context.Background(), reference, Options{})
		contains(t, err, `image "`+reference+`": `)
		contains(t, err, want)
	}
}

// TestRegistryAnswers tells a registry's refusals apart.
func TestRegistryAnswers(t *testing.T) {
	answer := func(code int, body string) func(http.Handler) http.Handler {
		return func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/" {
					w.WriteHeader(code)
					io.WriteString(w, body)
				}
			})
		}
	}
	redirect := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				http.Redirect(w, r, "http://registry.example/x", http.StatusFound)
			}
		})
	}
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, c := range []struct{ finding, at, want string }{
		{"unauthorised", newRegistry(t, answer(401, `{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}`)), "not authorised: no such repository, or it needs a login: "},
		{"forbidden", newRegistry(t, answer(403, "")), "not authorised: no such repository, or it needs a login: "},
		{"not found", newRegistry(t, answer(404, "line\nanother\x1b[31m line")), `not found: `},
		{"broken", newRegistry(t, answer(501, "sorry")), "answered 501: "},
		{"nobody there", strings.TrimPrefix(closed.URL, "http://"), "unreachable: "},
		{"redirect to plain http", newRegistry(t, redirect), "plain http is for loopback registries only, not for registry.example"},
	} {
		t.Run(c.finding, func(t *testing.T) {
			_, err := Open(t.Context(), c.at+"/name", Options{})
			contains(t, err, "registry "+c.at+": "+c.want)
			if strings.ContainsRune(err.Error(), '\x1b') {
				t.Error("terminal control characters of the server's in the error")
			}
		})
	}
}

// TestPlainHTTP shows which addresses may be spoken to without encryption; the library would allow private ones too.
func TestPlainHTTP(t *testing.T) {
	reached := errors.New("reached")
	transport := guard{refuser{reached}}
	for url, allowed := range map[string]bool{
		"http://127.0.0.1:5000/v2/": true, "http://[::1]/v2/": true, "http://localhost/v2/": true, "https://10.0.0.1/v2/": true,
		"http://10.0.0.1/v2/": false, "http://registry.local/v2/": false, "http://localhost.example/v2/": false, "http://169.254.169.254/": false,
	} {
		if _, err := transport.RoundTrip(httptest.NewRequest("GET", url, nil)); errors.Is(err, reached) != allowed {
			t.Errorf("%s: %v", url, err)
		}
	}
}

type refuser struct{ err error }

func (r refuser) RoundTrip(*http.Request) (*http.Response, error) { return nil, r.err }

func TestOpenNothing(t *testing.T) {
	for reference, want := range map[string]string{
		"./none":          `image "./none": no such OCI layout or docker-archive, and not a valid reference: `,
		"/none:tag":       "no such OCI layout or docker-archive",
		"":                "no such OCI layout or docker-archive",
		"UPPER/case":      "not a valid reference",
		t.TempDir():       "is neither an OCI layout nor a docker-archive",
		"oci:":            "no such file or directory",
		"docker-archive:": "no such file or directory",
	} {
		_, err := Open(context.Background(), reference, Options{})
		contains(t, err, want)
	}
	_, err := Open(context.Background(), "x", Options{Platform: "windows/amd64"})
	contains(t, err, `platform "windows/amd64": want linux/ARCHITECTURE[/VARIANT]`)
}

// TestHostileManifests edits a layout that is otherwise right. Digests are made to fit again unless they are the point.
func TestHostileManifests(t *testing.T) {
	for _, c := range []struct {
		finding, want string
		edit          func(*v1.Manifest)
		corrupt       bool
	}{
		{"corrupt manifest", "content has digest sha256:", func(m *v1.Manifest) { m.SchemaVersion = 3 }, true},
		{"artefact", `holds "application/x-chart", not a container image`, func(m *v1.Manifest) { m.Config.MediaType = "application/x-chart" }, false},
		{"foreign layer", "is not a file system layer", func(m *v1.Manifest) { m.Layers[0].MediaType = types.DockerForeignLayer }, false},
		{"layer elsewhere", "is to be fetched from elsewhere, which is not supported", func(m *v1.Manifest) { m.Layers[0].URLs = []string{"http://127.0.0.1/"} }, false},
		{"huge configuration", "size 1099511627776 is out of range", func(m *v1.Manifest) { m.Config.Size = 1 << 40 }, false},
		{"short configuration", "content has digest sha256:", func(m *v1.Manifest) { m.Config.Size = 3 }, false},
		{"layer in place of configuration", "configuration: invalid character", func(m *v1.Manifest) { m.Config.Digest = m.Layers[0].Digest }, false},
		{"layer missing", "1 layers but 2 diff IDs", func(m *v1.Manifest) { m.Layers = m.Layers[:1] }, false},
		{"no layers", "has no layers", func(m *v1.Manifest) { m.Layers = nil }, false},
		{"negative size", "size -1 is negative", func(m *v1.Manifest) { m.Layers[1].Size = -1 }, false},
		{"very many layers", "600 layers are more than overlayfs can stack (500)", func(m *v1.Manifest) {
			for len(m.Layers) < 600 {
				m.Layers = append(m.Layers, m.Layers[0])
			}
		}, false},
	} {
		t.Run(c.finding, func(t *testing.T) {
			built := build(t, runtime.GOARCH)
			path := newLayout(t, map[string]v1.Image{"v1": built})
			manifest, err := built.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			edited := manifest.DeepCopy()
			c.edit(edited)
			document, err := json.Marshal(edited)
			if err != nil {
				t.Fatal(err)
			}
			from, to := digestOfImage(t, built), digestOf(document)
			if c.corrupt {
				to, _ = v1.NewHash(from)
			}
			if err := os.WriteFile(filepath.Join(path, blobPath(to)), document, 0o600); err != nil {
				t.Fatal(err)
			}
			index := strings.ReplaceAll(readFile(t, filepath.Join(path, "index.json")), from, to.String())
			if err := os.WriteFile(filepath.Join(path, "index.json"), []byte(index), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = Open(context.Background(), path, Options{})
			contains(t, err, c.want)
		})
	}
}

// TestChoose shows which variant of an architecture is taken.
func TestChoose(t *testing.T) {
	for _, c := range []struct{ wanted, offered, want string }{
		{"linux/amd64", "linux/amd64/v3 linux/amd64", "linux/amd64"},
		{"linux/amd64", "linux/amd64/v3", ""},
		{"linux/amd64/v3", "linux/amd64 linux/amd64/v3", "linux/amd64/v3"},
		{"linux/arm64", "linux/arm/v7 linux/arm64/v8", "linux/arm64/v8"},
		{"linux/arm", "linux/arm/v5 linux/arm/v7 linux/arm/v6", "linux/arm/v7"},
		{"linux/amd64", "windows/amd64 unknown/unknown", ""},
	} {
		wanted, err := parsePlatform(c.wanted)
		if err != nil {
			t.Fatal(err)
		}
		var manifests []v1.Descriptor
		for text := range strings.FieldsSeq(c.offered) {
			platform, err := v1.ParsePlatform(text)
			if err != nil {
				t.Fatal(err)
			}
			manifests = append(manifests, v1.Descriptor{Platform: platform})
		}
		got, err := choose(manifests, wanted)
		if (err != nil) != (c.want == "") || err == nil && got.Platform.String() != c.want {
			t.Errorf("%s of %s: %v, %v", c.wanted, c.offered, got.Platform, err)
		}
	}
}

// FuzzArchive opens arbitrary bytes as a docker-archive. An image that comes out of it must have its layers inside.
func FuzzArchive(f *testing.F) {
	made := filepath.Join(f.TempDir(), "seed.tar")
	if err := tarball.WriteToFile(made, mustParse(f, "example/one:v1"), build(f, runtime.GOARCH)); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(readFile(f, made)))
	f.Add(pack(f, file("manifest.json", `[{"Config":"c","Layers":["l"]}]`), file("c", `{"rootfs":{"diff_ids":["x"]}}`), symlink("l", "../l")))
	f.Fuzz(func(t *testing.T, content []byte) {
		found, err := Open(t.Context(), "docker-archive:"+writeFile(t, content), Options{})
		if err != nil {
			return
		}
		for _, l := range found.layers {
			reader, err := l.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			if n, err := io.Copy(io.Discard, reader); err != nil || n > int64(len(content)) {
				t.Errorf("layer of %d bytes, %v", n, err)
			}
		}
	})
}
