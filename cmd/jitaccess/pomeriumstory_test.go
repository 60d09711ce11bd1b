package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// storyOfTheAdministrationPage plays Pomerium's example in a browser: somebody asks at the start
// page, an administrator rejects with a reason, approves and revokes at the administration page,
// and the demonstration's door is seen to open and to close.
func storyOfTheAdministrationPage(t *testing.T, b *browser) {
	p := *b
	p.origin = strings.TrimSuffix(startPomerium(t)[0], "/")
	b = &p
	b.become("Ana Weber")
	b.door("403 Forbidden")
	ask := func(why string) {
		b.open("/")
		b.follow(`//a[@href="/access/pomerium/jit-example"]`)
		b.looks("choose")
		b.tick("Access by policy jit-example")
		b.opens()
		b.sees("Nobody is asked by name")
		b.fill("justification", why)
		b.press("Request access")
		b.sees("Waiting for approval", why, "on the page Administration")
	}
	ask("the shop’s console")
	b.looks("own request")
	b.open("/")
	b.sees("Waiting for others", "Access by policy jit-example")
	b.open("/admin")
	b.sees("403 Forbidden")

	// Rejected, with a reason.
	b.become("Carla Rossi")
	b.open("/reviews")
	b.follow(`//main//a[.="Administration"]`)
	b.sees("Nobody is named who approves", "Waiting for a decision", "ana.weber@example.com", "the shop’s console", "Nobody has access that you could end.")
	b.looks("administration")
	b.follow(`//a[.="Access by policy jit-example"]`)
	b.sees("ana.weber@example.com asks for access", "the shop’s console", "will be written")
	b.looks("review")
	b.deny("Not on Fridays")
	b.sees("Denied", "Not on Fridays")
	b.door("403 Forbidden")
	b.become("Ana Weber")
	b.open("/requests")
	b.follow(`//a[.="Access by policy jit-example"]`)
	b.sees("Denied", "Not on Fridays")
	b.door("403 Forbidden")

	// Approved: the door opens for her and for nobody else.
	ask("the shop’s console, on Monday")
	b.become("Carla Rossi")
	b.open("/admin")
	b.follow(`//a[.="Access by policy jit-example"]`)
	b.press("Approve")
	if !b.script {
		b.tick("I have read above")
		b.press("Approve")
	}
	b.sees("You approved this", "Active")
	b.looks("approved")
	b.become("Ana Weber")
	b.door("The door is open")
	b.open("/")
	b.sees("My access now", "Access by policy jit-example")
	b.looks("access")
	b.become("Ben Okafor")
	b.door("403 Forbidden")

	// Revoked, by another administrator; one's own request is nobody's to decide.
	b.become("Deniz Kaya")
	ask("my own")
	b.open("/admin")
	b.sees("my own", "somebody else has to decide it", "Until ", "Revoke")
	b.looks("revoke")
	b.press("Revoke")
	b.sees("Access ended", "ana.weber@example.com")
	b.looks("revoked")
	b.follow(`//main//a[.="Administration"]`)
	b.sees("Nobody has access that you could end.")
	b.follow(`//a[.="Access by policy jit-example"]`)
	b.sees("Your request", "somebody else has to decide it")
	b.looks("own at the page")
	b.become("Ana Weber")
	b.door("403 Forbidden")
}

// become becomes one of the people of the sandbox behind Pomerium.
func (b *browser) become(name string) {
	b.t.Helper()
	b.open("/.pomerium/")
	b.press(name)
}

// door says what is seen at the demonstration's route.
func (b *browser) door(what string) {
	b.t.Helper()
	b.open("/demo/")
	b.sees(what)
}

// looks keeps how a page looks by day and by night, on a desk and on a phone, where that is wanted.
func (b *browser) looks(name string) {
	b.t.Helper()
	if *screenshots == "" || !b.script {
		return
	}
	for _, width := range []int64{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			b.emulates(width, scheme)
			png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				b.t.Fatal(err)
			}
			file := filepath.Join(*screenshots, fmt.Sprintf("%s %s %d.png", name, scheme, width))
			if err := os.WriteFile(file, png, 0o644); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	b.emulates(0, "")
}

// emulates is a screen; none for a width of 0.
func (b *browser) emulates(width int64, scheme string) {
	b.t.Helper()
	_, err := chromedp.Run(b.ctx, func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
		if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
			return chromedp.Void{}, err
		}
		_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: width, DeviceScaleFactor: 1})
		return chromedp.Void{}, err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}
