package main

import (
	"bytes"
	"cmp"
	"flag"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"jitaccess/internal/sandbox"
)

var pictures = flag.String("pictures", "", "write the README's pictures into this folder")

// maxPicture is how large a picture of the README may be, in bytes.
const maxPicture = 100_000

// TestPictures takes the README's pictures from the sandbox, at a time that is given, so that two
// runs show the same: what is random, such as the ids of requests, is in none of them. Fonts and
// their edges are those of the machine.
func TestPictures(t *testing.T) {
	var later atomic.Int64
	now := func() time.Time {
		return time.Date(2026, 3, 2, 3, 4, 0, 0, time.UTC).Add(time.Duration(later.Load()))
	}
	// Without its application, whose key lies elsewhere each time, the policy has the same digest.
	terms, _, _ := bytes.Cut(sandbox.Terms, []byte("\napplications:"))
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, terms, 0o600); err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t, startSandboxOf(t, sandbox.Options{Now: now}, file, nil), true)
	if _, err := chromedp.Call(b.ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "UTC"}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: "light"}, {Name: "prefers-reduced-motion", Value: "reduce"}}}); err != nil {
		t.Fatal(err)
	}

	b.be("Alice Moreau")
	b.open("/access/projects/" + project)
	b.do(chromedp.EmulateViewport(1200, 900))
	b.tick("roles/compute.instanceAdmin.v1")
	b.opens()
	b.fill("justification", "INC-204: node 7 hangs")
	b.shoots("asking", "#asking", 1200, 1000, 1)
	b.press("Request access")
	request := b.value("document.location.href")

	later.Store(int64(2 * time.Minute))
	b.be("Bob Tanaka")
	b.open(request)
	b.sees("alice@example.com asks for access")
	b.do(chromedp.WaitVisible(`//button[@id="approve" and not(@aria-disabled)]`))
	b.shoots("reviewing", "body", 390, 740, 2)
	b.press("Approve")
	b.sees("You approved this")

	later.Store(int64(10 * time.Minute))
	b.open(request)
	b.sees("bob@example.com approved")
	b.shoots("timeline", "body", 900, 1060, 1)
}

// shoots takes a picture of the page without the sandbox's bar, from where an element begins and as
// large as a window, and writes it where pictures go.
func (b *browser) shoots(name, from string, width, height int64, scale float64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height, chromedp.EmulateScale(scale)))
	b.value(`document.querySelector(".sandbox-bar")?.remove(), document.activeElement.blur(),
		scrollBy(0, document.querySelector(` + strconv.Quote(from) + `).getBoundingClientRect().top), ""`)
	shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	small, err := smaller(shot)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(small) > maxPicture {
		b.t.Errorf("%s has %d bytes", name, len(small))
	}
	if *pictures != "" {
		if err := os.WriteFile(filepath.Join(*pictures, name+".png"), small, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
}

// smaller writes a picture in the 256 colours that most of it has; what is left are edges of
// letters, in colours between.
func smaller(shot []byte) ([]byte, error) {
	full, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return nil, err
	}
	at, often := full.Bounds(), map[color.RGBA]int{}
	each := func(do func(x, y int, c color.RGBA)) {
		for y := at.Min.Y; y < at.Max.Y; y++ {
			for x := at.Min.X; x < at.Max.X; x++ {
				do(x, y, color.RGBAModel.Convert(full.At(x, y)).(color.RGBA))
			}
		}
	}
	each(func(_, _ int, c color.RGBA) { often[c]++ })
	colours := slices.SortedFunc(maps.Keys(often), func(a, b color.RGBA) int {
		return cmp.Or(often[b]-often[a], int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B))
	})
	var palette color.Palette
	for _, c := range colours[:min(len(colours), 256)] {
		palette = append(palette, c)
	}
	index := map[color.RGBA]uint8{}
	for _, c := range colours {
		index[c] = uint8(palette.Index(c))
	}
	few := image.NewPaletted(at, palette)
	each(func(x, y int, c color.RGBA) { few.SetColorIndex(x, y, index[c]) })
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	err = encoder.Encode(&b, few)
	return b.Bytes(), err
}
