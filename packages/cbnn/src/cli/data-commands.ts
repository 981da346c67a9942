import { type Command, Option } from 'commander';
import { getDataset } from '../data/acquisition.js';
import { contactSheet } from '../data/contact-sheet.js';
import { datasets, loadDataset } from '../data/registry.js';
import type { ReadingChoices } from '../data/source.js';
import { datasetStatistics } from '../data/statistics.js';
import { formatInteger } from '../report/format.js';
import { textTable } from '../report/table.js';
import { writeFileAtomic } from '../train/run-folder.js';
import { progressBar, result } from './console.js';
import { addReadingOptions, dataDirOption, stopSignal } from './shared.js';

interface ShowFlags extends ReadingChoices {
  readonly dataDir?: string;
  readonly sheet: string;
}

export function addDataCommands(program: Command): void {
  const data = program
    .command('data')
    .description('what data sets there are, what is in them, how to get them');
  data
    .command('list', { isDefault: true })
    .description('the data sets known by name')
    .action(() => {
      const rows = datasets.map(({ name, title, description }) => [name, title, description]);
      result(
        `${textTable([{ header: 'name' }, { header: 'title' }, { header: 'what it is' }], rows)}\nAny folder of class folders with PNG, JPEG or PPM images works as well, and any folder of IDX files named like MNIST's.`,
        {
          datasets: datasets.map(({ name, title, description, licence }) => ({
            name,
            title,
            description,
            licence,
          })),
        },
      );
    });
  addReadingOptions(data.command('show'))
    .description('counts, class balance, and a contact sheet as PNG')
    .argument('<data>', 'a data set, or a folder of class folders or IDX files')
    .addOption(dataDirOption())
    .addOption(new Option('--sheet <file>', 'where to write the contact sheet').default('contact-sheet.png'))
    .action(async (name: string, { dataDir = 'data', sheet, ...choices }: ShowFlags) => {
      const bar = progressBar('data');
      const dataset = await loadDataset(name, {
        ...choices,
        dataDir,
        signal: stopSignal(),
        onProgress: ({ done, total, stage }) => bar.update(done, total ?? done, stage),
      }).finally(() => bar.stop());
      const statistics = datasetStatistics(dataset);
      writeFileAtomic(sheet, contactSheet(dataset.train, dataset.classes));
      const rows = dataset.classes.map((title, i) => [
        title,
        formatInteger(statistics.train.perClass[i]!),
        formatInteger(statistics.test.perClass[i]!),
      ]);
      result(
        `${dataset.title}: ${formatInteger(dataset.train.count)} training and ${formatInteger(dataset.test.count)} test images of ${dataset.train.height}x${dataset.train.width}x${dataset.train.channels}\n${textTable([{ header: 'class' }, { header: 'train', align: 'right' }, { header: 'test', align: 'right' }], rows)}\ncontact sheet: ${sheet}`,
        { dataset: dataset.title, statistics, sheet },
      );
    });
  data
    .command('get')
    .description('download a data set from its official address; interrupted downloads continue')
    .argument('<name>', 'a data set known by name')
    .option('--from <url>', 'fetch the files, under their official names, from this address instead')
    .addOption(dataDirOption())
    .action(async (name: string, { dataDir = 'data', from }: { dataDir?: string; from?: string }) => {
      const bar = progressBar('download');
      const { folder, downloaded } = await getDataset(name, dataDir, {
        ...(from && { from }),
        signal: stopSignal(),
        onProgress: ({ done, total, stage }) => bar.update(done, total ?? done, stage),
      }).finally(() => bar.stop());
      result(
        downloaded.length === 0
          ? `${name}: already in ${folder}`
          : `${name}: ${downloaded.length} files in ${folder}`,
        { name, folder, downloaded },
      );
    });
}
