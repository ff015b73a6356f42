// Where the page begins.
import { mount } from 'svelte';
import App from './ui/App.svelte';
import './ui/fonts.css';
import './ui/tokens.css';
import './ui/base.css';

const target = document.getElementById('app');
if (target === null) throw new Error('index.html has the element the page is mounted in');
mount(App, { target });
