// What does each state of saving read like, shortly and at length?
import { t } from '../i18n/index.svelte';
import type { Label } from './saved';

export function labelWords(label: Label): string {
  switch (label.kind) {
    case 'opening':
      return t('save.opening');
    case 'saved':
      return t('save.saved');
    case 'saving':
      return t('save.saving');
    case 'on-device':
      return t('save.device');
    case 'not-saving':
      return t('save.not');
  }
}

/** What happened, what it means and what to do; null when there is nothing to say. */
export function labelSentence(label: Label): string | null {
  switch (label.kind) {
    case 'opening':
    case 'saved':
    case 'saving':
      return null;
    case 'on-device':
      return t('save.deviceWords');
    case 'not-saving':
      return notSaving(label);
  }
}

function notSaving(label: Extract<Label, { kind: 'not-saving' }>): string {
  const safe = label.onDevice ? t('save.safe') : t('save.copyFirst');
  switch (label.why) {
    case 'refused':
      return t('save.refusedWords', { reason: label.reason ?? '' });
    case 'turned-away':
      return t('save.turnedAwayWords');
    case 'storage-away':
      return `${t('save.storageAwayWords')} ${safe}`;
    case 'storage-full':
      return `${t('save.storageFullWords')} ${safe}`;
    case 'stalled':
      return `${t('save.stalledWords')} ${safe}`;
    case 'offline':
      return t('save.offlineWords');
  }
}
