package main

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"os"
	"testing"
	"time"
)

// picture returns a PNG of so many pixels, black but for a square.
func picture(t *testing.T, w, h int, square image.Rectangle, c color.Color) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.Set(x, y, color.Black)
			if image.Pt(x, y).In(square) {
				img.Set(x, y, c)
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Played from its start, a film shows each screen that was there, in its colours,
// for as long as it was there, but for waits.
func TestFilm(t *testing.T) {
	red, blue := color.RGBA{R: 170, A: 255}, color.RGBA{B: 170, A: 255}
	var c camera
	for _, s := range []struct {
		at time.Duration
		b  []byte
	}{
		{0, picture(t, 40, 20, image.Rect(1, 1, 5, 5), red)},
		{100 * time.Millisecond, picture(t, 40, 20, image.Rect(1, 1, 5, 5), red)}, // nothing new
		{500 * time.Millisecond, picture(t, 40, 20, image.Rect(2, 2, 9, 9), blue)},
		{10 * time.Second, picture(t, 20, 10, image.Rect(0, 0, 20, 10), red)}, // a smaller screen
	} {
		if err := c.take(s.at, s.b); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, c.film()); err != nil {
		t.Fatal(err)
	}
	g, err := gif.DecodeAll(&b)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Image) != 3 || g.Config.Width != 40 || g.Config.Height != 20 || g.LoopCount != 0 {
		t.Fatalf("%d pictures of %dx%d, repeated %d times", len(g.Image), g.Config.Width, g.Config.Height, g.LoopCount)
	}
	if want := []int{50, int(longest / (10 * time.Millisecond)), int(ending / (10 * time.Millisecond))}; g.Delay[0] != want[0] || g.Delay[1] != want[1] || g.Delay[2] != want[2] {
		t.Errorf("they are shown for %d hundredths, want %d", g.Delay, want)
	}
	shown := image.NewRGBA(image.Rect(0, 0, 40, 20))
	for i, want := range []func(p image.Point) color.Color{
		func(p image.Point) color.Color { return in(p, image.Rect(1, 1, 5, 5), red) },
		func(p image.Point) color.Color { return in(p, image.Rect(2, 2, 9, 9), blue) },
		func(p image.Point) color.Color { return in(p, image.Rect(10, 5, 30, 15), red) },
	} {
		frame := g.Image[i]
		for y := frame.Rect.Min.Y; y < frame.Rect.Max.Y; y++ {
			for x := frame.Rect.Min.X; x < frame.Rect.Max.X; x++ {
				shown.Set(x, y, frame.At(x, y))
			}
		}
		for y := range 20 {
			for x := range 40 {
				if got, want := shown.At(x, y), color.RGBAModel.Convert(want(image.Pt(x, y))); got != want {
					t.Fatalf("picture %d has %v at %d,%d, want %v", i, got, x, y, want)
				}
			}
		}
	}
	if i := g.Image[1]; i.Rect.Dx() > 9 || i.Rect.Dy() > 9 {
		t.Errorf("what has not changed is stored again: %v", i.Rect)
	}
}

// The film of README.md is there, is small enough for a page, and moves.
func TestFilmOfREADME(t *testing.T) {
	b, err := os.ReadFile("../../docs/film.gif")
	if err != nil {
		t.Fatal(err)
	}
	g, err := gif.DecodeAll(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > maxFilm || len(g.Image) < 10 || g.Config.Width < 640 {
		t.Errorf("it has %d bytes and %d pictures, %d wide", len(b), len(g.Image), g.Config.Width)
	}
}

func in(p image.Point, r image.Rectangle, c color.Color) color.Color {
	if p.In(r) {
		return c
	}
	return color.Black
}
