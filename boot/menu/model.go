package menu

// Model is the state of the menu. It is a value: Update gives a new one and
// never changes what an older one shows.
type Model struct {
	config Config
}

// New gives the menu as it is before anything is known.
func New(c Config) Model { return Model{config: c} }

// Update gives the model after msg, and what shall be done outside because of
// it, nil for nothing.
func (m Model) Update(msg Msg) (Model, Action) { return m, nil }

// View paints the model for a console of the given size and character set.
// Every cell of the screen is set.
func (m Model) View(size Size, charset Charset) Screen {
	s := Screen{Size: size, Cells: make([]Cell, size.W*size.H)}
	for i := range s.Cells {
		s.Cells[i].Rune = ' '
	}
	return s
}
