// The pictures on buttons: strokes on a grid of 20, drawn for this page.
export const ICONS = {
  bold: 'M6 4h5a3 3 0 0 1 0 6H6zM6 10h6a3 3 0 0 1 0 6H6z',
  italic: 'M9 4h5M6 16h5M11.5 4l-3 12',
  strike: 'M4 10h12M13.5 6.5C13 5 11.7 4 10 4 8 4 6.5 5.200 6.500 7M6.500 13c.4 1.800 1.700 3 3.500 3 2.200 0 3.600-1.200 3.600-3',
  code: 'M7 6l-4 4 4 4M13 6l4 4-4 4',
  link: 'M8.500 11.500l3-3M9 6.500l1.500-1.500a3.200 3.200 0 0 1 4.500 4.500L13.500 11M11 13.500L9.500 15A3.200 3.200 0 0 1 5 10.500L6.500 9',
  bullets: 'M8 5h9M8 10h9M8 15h9M3.500 5h.01M3.500 10h.01M3.500 15h.01',
  numbers: 'M9 5h8M9 10h8M9 15h8M3 4l1.500-.7V8M3 12.500c.3-1.200 2.500-1.200 2.500.2 0 1-2.500 1.800-2.500 3.300h2.700',
  tasks: 'M3 5l1.500 1.500L7 3.500M3 14l1.500 1.500L7 12.500M10 5.500h7M10 14.500h7',
  divider: 'M3 10h14',
  undo: 'M7 4L3.500 7.500 7 11M4 7.500h7.500a4.500 4.500 0 0 1 0 9H8',
  redo: 'M13 4l3.500 3.500L13 11M16 7.500H8.500a4.500 4.500 0 0 0 0 9H12',
  down: 'M5 8l5 5 5-5',
} as const;
export type IconName = keyof typeof ICONS;
